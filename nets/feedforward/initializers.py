"""Initial values of the kernels of dense layers, by name."""

from collections.abc import Mapping

from flax import linen as nn

SMALL, LARGE = 0.01, 1.0  # standard deviations, whatever the number of inputs

# Standard deviations for a kernel with n inputs and m outputs:
# zeros:  0; all units of a layer stay equal
# small:  0.01; large: 1
# lecun:  1 / sqrt(n)          LeCun et al., "Efficient backprop", 1998
# glorot: sqrt(2 / (n + m))    Glorot and Bengio, "Understanding the difficulty of training deep
#                              feedforward neural networks", 2010
# he:     sqrt(2 / n)          He et al., "Delving deep into rectifiers", 2015
INITIALIZERS: Mapping[str, nn.initializers.Initializer] = {
    "zeros": nn.initializers.zeros_init(),
    "small": nn.initializers.normal(SMALL),
    "large": nn.initializers.normal(LARGE),
    "lecun": nn.initializers.lecun_normal(),
    "glorot": nn.initializers.glorot_normal(),
    "he": nn.initializers.he_normal(),
}
