"""Recordings in sound files and their log-mel spectrograms.

Read first: `waves` (labelled recordings and their splits). `speech` has recordings with
transcripts, `files` reads and resamples sound files, `spectrogram` computes the features.
"""
