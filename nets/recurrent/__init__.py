"""Recurrent layers: cells, the layers that run them in one or both directions, stacks, 2-D grids.

Read first: `cells` (the equations), then `layers` (RNN, Stacked), `bidirectional` and `scan` (how
a cell runs over time). `linear_cells` run in parallel over time, `bptt` has hand-written gradients,
`chunks` saves memory on long rows, `cudnn` runs an LSTM on an NVIDIA GPU, and `checks` validates
arguments. `variants` names every cell, `stack` builds a deep network from a few settings, `grid`
reads images, and `convert` exchanges parameters with PyTorch and Flax.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
