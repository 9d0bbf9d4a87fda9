"""Models: parameters, regressors, the files that hold them, and what they predict.

Features come in; scores go out.
"""
