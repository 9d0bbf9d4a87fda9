"""What a workspace holds and what is wrong with it; reads only.

A root comes in; rows, models and findings with their remedies go out, as data.
"""
