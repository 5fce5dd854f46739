"""Convolution and pooling: fast layers for images, layers over time, and shape arithmetic.

Read first: `arithmetic` (output sizes and receptive fields of a stack of layers). `conv` and
`pooling` compute the same values as Flax's `Conv` and `max_pool`, and `depthwise` those of a
convolution of each channel by itself, faster on a CPU; `temporal` convolves padded sequences.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
