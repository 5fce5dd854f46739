"""Encoder-decoder networks with attention.

Read first: `attention` (the equations and the memory), then `seq2seq` (encoder, decoder, and
Seq2Seq, which joins them) and `multiway` (several language pairs in one network). `Decoder.step` is
a step function for the searches of `nets.decoding`.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
