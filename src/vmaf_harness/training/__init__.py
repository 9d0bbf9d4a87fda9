"""Models trained: a table of features, a fit, cross-validation, tuning, checkpoints and the card.

A recipe with labels and parameters come in; a model's files and its statistics go out.
"""
