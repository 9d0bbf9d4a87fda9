"""What people type: flags become values, questions are asked, results become tables, lines and JSON.

Invoke's tasks and the console script are made from the commands that are defined here.
"""
