"""The report of a folder of runs: python -m experiments.report --workdir=DIR.

Read report.py first. runs.py loads and groups runs; intervals.py averages them; study.py puts
several folders together; significance.py tests differences; tables.py, curves.py and search.py make
the tables and pictures; page.py writes all into one HTML file, with the settings and environments
of provenance.py; history.py draws one run of a language model; check.py validates the settings of a
sweep.
"""
