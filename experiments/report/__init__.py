"""The report of a folder of runs: python -m experiments.report --workdir=DIR.

Read report.py first. runs.py loads, groups and averages runs; tables.py, curves.py and search.py
make its tables and pictures; history.py draws one run of a language model; check.py validates the
settings of a sweep.
"""
