"""Files and directories as such: what lies where, whole writes, removal of one tree, work in forked processes.

Paths come in, facts and changes go out; nothing here knows of a workspace.
"""
