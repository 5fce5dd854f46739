"""Networks of dense layers, from the perceptron on.

Read first: `mlp` (any number of hidden layers, with the activations of `activations` and the
initial values of `initializers`). `perceptron` and `boolean` are networks of threshold units.
`autoencoder` reconstructs its input from a short code; `rbm` pretrains its layers.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
