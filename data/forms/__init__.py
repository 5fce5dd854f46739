"""Users' own data: the names that are accepted, tables of rows, labels, and splits by a hash.

Read first: `readers` (CSV, TSV, JSON lines; `arrow` reads Parquet and Arrow), which return a
`table`, and `splits` (which example is in which set). `labels` turns a column into classes, `files`
reads text files, `folders` lists the files of a folder, `content` their bytes, `cache` keeps arrays
that take long to make, `prepared` opens prepared datasets of TFDS, `torch_file` reads weights of
PyTorch without it, and `names` says what a wrong name of a dataset probably means.
"""
