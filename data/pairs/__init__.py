"""Pairs of source and target sentences for translation.

Read first: `parallel` (parallel text from files) and `batches` (padded batches of pairs). `dates`
generates dates in many languages, an endless source of pairs; `multiway` alternates between several
language pairs.
"""
