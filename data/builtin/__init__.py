"""Datasets made from installed packages, as TFDS builders; they need no download.

Read first: `digits` (the digits of scikit-learn). `python_source` has the text corpora of the
standard library. `data.catalogue` prepares them on first use.
"""
