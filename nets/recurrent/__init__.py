"""Recurrent layers: cells, the scan that runs them, both directions, stacks, and 2-D grids.

Read first: `cells` (the equations), then `layers` (RNN, Bidirectional, Stacked) and `scan` (how a
cell is run over time). `linear_cells` have a parallel scan, `bptt` is the fused gradient, `cudnn`
runs an LSTM on an NVIDIA GPU, `stack` builds a deep network by name, `grid` reads images, and
`convert` exchanges weights with PyTorch and Flax.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
