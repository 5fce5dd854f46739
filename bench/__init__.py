"""Benchmarks, run as `python -m bench.NAME`; with --save they write the tables in bench/*.md.

Read timing.py first, how implementations are compared, and tables.py, how a table is written.
ratios.py makes bench/README.md from these tables. results.py opens finished runs, which
robustness.py and scoring.py measure again.
"""
