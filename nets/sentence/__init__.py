"""Taggers and classifiers of sentences: an encoder, and the output layers on top of it.

Read first: `encoder` (one state for each word), then `tagger` and `classifier`, which build on it.
`char_encoder` computes word vectors from characters; `linear_crf` has the loss and the decoding of
a tagger: log_prob, viterbi, marginals; `crf_paths` has its k best paths and samples.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
