"""Unsegmented sequences with transcripts, for connectionist temporal classification.

Read first: `transcripts` (alphabet, sequences and batches) and `compose` (lines that are composed
of single symbols). `digits`, `pens`, `sounds` and `tones` have the symbols: images, pen strokes,
recordings and telephone tones. `error_rate` compares transcripts.
"""
