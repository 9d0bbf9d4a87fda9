"""Ladders: which encodes a recipe asks for, one ffmpeg a reference, the store of encodes and the recipe of them.

References and a ladder come in; encodes and a recipe that names them go out.
"""
