"""Recordings in WAV files and their log-mel spectrograms.

Read first: `waves` (labelled recordings and their splits). `speech` has recordings with
transcripts, `spectrogram` the features.
"""
