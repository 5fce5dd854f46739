"""Experiments with sequences of frames: transcription of lines, classification of series.

Read first: `task` (settings, data, network and task of the experiments that transcribe). `modes`
implements --mode=transcribe and --mode=decode; `alignment` draws which frames belong to which
symbol. `evidence` and `shift` draw results of `experiments.spoken_digits`.
"""
