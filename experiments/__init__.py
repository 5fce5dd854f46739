"""Experiments: each file is one, run by `python -m experiments.NAME`; the rooms hold shared code.

Read char_lm.py first: a Config, a Task, and `build`, which returns an Experiment of both.
"""
