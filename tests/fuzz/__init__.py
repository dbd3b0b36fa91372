"""Inputs from outside, altered at random: whatever the bytes, a result, or an exception of ours in one line.

python -m tests.fuzz 200000      # every kind in turn, with the committed seed: input n is the same on every machine
"""
