"""Sentences with a tag for each word, or with one label each, and their batches.

Read first: `tagged` (tagged corpora and their file formats) with `tag_batches`, or `sentiment`
(labelled sentences) with `sentiment_batches`. `python_tokens` labels the characters of source code.
"""
