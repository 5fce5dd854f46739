"""Datasets made from installed packages; they need no download.

Read first: `digits` (the digits of scikit-learn) and `python_source` (text corpora of the standard
library), as TFDS builders that `data.catalogue` prepares on first use. `scenes` composes the digits
into pictures with boxes, masks and the captions of `captions`.
"""
