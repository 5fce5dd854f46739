"""Data sources, vocabularies and batches in NumPy; a batch is a pure function of (seed, step).

Read first: `epochs` (the order of examples), `buckets` (padding to a few shapes) and `catalogue`
(datasets by name). The rooms hold the kinds of data: `text`, `sentences`, `pairs`, `images`,
`series`, `sound` and `lines`; `builtin` makes datasets from installed packages, and `forms` reads
users' own data.
"""
