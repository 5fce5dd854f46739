"""Activation functions of dense layers, by name, and maxout."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

Function = Callable[[jax.Array], jax.Array]
SLOPE = 0.01  # of the leaky rectifier


def identity(x: jax.Array) -> jax.Array:
    """f(x) = x: a network of such layers is one linear map."""
    return x


def step(x: jax.Array) -> jax.Array:
    """f(x) = 1 if x >= 0, else 0; f' = 0, also at 0.

    Source: McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous activity",
    1943.
    """
    return (x >= 0).astype(x.dtype)


def sign(x: jax.Array) -> jax.Array:
    """f(x) = 1 if x >= 0, else -1; f' = 0, also at 0."""
    return 2 * step(x) - 1


def straight_through(function: Function) -> Function:
    """Return the function with another derivative: 1 where |x| <= 1, else 0.

    Source: Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic
    neurons", 2013; Courbariaux et al., "Binarized neural networks", 2016 (the limits of 1).
    """

    def f(x: jax.Array) -> jax.Array:
        clipped = jnp.clip(x, -1, 1)
        zero = clipped - jax.lax.stop_gradient(clipped)  # with the derivative of `clipped`
        return jax.lax.stop_gradient(function(x)) + zero

    return f


def sigmoid(x: jax.Array) -> jax.Array:
    """f(x) = 1 / (1 + exp(-x)), f' = f (1 - f) <= 1/4.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    1986.
    """
    return nn.sigmoid(x)


def tanh(x: jax.Array) -> jax.Array:
    """f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), f' = 1 - f^2 <= 1.

    Source: LeCun et al., "Efficient backprop", 1998, on why its mean of 0 helps.
    """
    return jnp.tanh(x)


def relu(x: jax.Array) -> jax.Array:
    """f(x) = max(0, x), f' = 1 for x > 0, else 0.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    return nn.relu(x)


def leaky_relu(x: jax.Array) -> jax.Array:
    """f(x) = x for x >= 0, else 0.01 x; f' = 1 or 0.01.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.
    """
    return nn.leaky_relu(x, SLOPE)


def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """h_i = max_j x_(i, j) over the `pieces` affine functions j of each unit i.

    x: [..., units * pieces], with the pieces of a unit side by side. Returns [..., units]. Raises
    ValueError when the last axis is not a multiple of `pieces`. Source: Goodfellow et al., "Maxout
    networks", 2013.
    """
    if x.shape[-1] % pieces:
        raise ValueError(f"the last axis of {x.shape} must be a multiple of {pieces} pieces")
    return x.reshape(*x.shape[:-1], x.shape[-1] // pieces, pieces).max(axis=-1)


ACTIVATIONS: Mapping[str, Function] = {
    "identity": identity,
    "step": step,
    "step_straight_through": straight_through(step),
    "sign": sign,
    "sign_straight_through": straight_through(sign),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
}
