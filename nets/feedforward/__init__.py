"""Networks of dense layers, from the perceptron on.

Read first: `mlp` (any number of hidden layers, with the activations of `activations` and the
initial values of `initializers`).
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
