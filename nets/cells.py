"""Recurrent cells on Flax's RNNCellBase protocol: `cell(carry, x) -> (carry, y)`.

Each cell is split in two, so that the driver in `recurrent.py` can take the part that does not
depend on the past out of the loop:

    project(x)            the input product, for one step or for all steps at once
    step(carry, inputs)   what is left for each step

and `cell(carry, x)` is `step(carry, project(x))`.

Shapes: B stands for any leading axes, D input features, H hidden features.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn


def orthogonal_blocks(count: int):
    """Initialiser of a [H, count * H] kernel whose `count` square blocks are each orthogonal."""

    def init(key, shape, dtype=jnp.float32):
        rows, columns = shape
        orthogonal = nn.initializers.orthogonal()
        blocks = [
            orthogonal(k, (rows, columns // count), dtype) for k in jax.random.split(key, count)
        ]
        return jnp.concatenate(blocks, axis=1)

    return init


class Cell(nn.RNNCellBase):
    """What the three cells share: the input product, the recurrent kernel, and the zero carry.

    dtype is that of the products; parameters are float32, and so are the carries. kernel_init is of
    the input kernel; the recurrent kernel starts orthogonal, gate by gate.
    """

    features: int
    dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    gates = 1

    def setup(self):
        """Declare an input product with bias and a recurrent kernel [H, gates * H]."""
        self.input = nn.Dense(
            self.gates * self.features, dtype=self.dtype, kernel_init=self.kernel_init
        )
        self.recurrent_kernel = self.param(
            "recurrent_kernel",
            orthogonal_blocks(self.gates),
            (self.features, self.gates * self.features),
        )

    @property
    def num_feature_axes(self) -> int:
        """Flax's protocol: the input has one feature axis."""
        return 1

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        """Zeros [B, H] float32 for an input of shape [B, D]; `rng` is not used."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), jnp.float32)

    def project(self, x):
        """Input product U x + b: [..., D] -> [..., gates * H]."""
        return self.input(x)

    def recur(self, h, kernel):
        """Recurrent product in the cell's dtype, returned in float32: [B, H] -> [B, columns]."""
        return (h.astype(self.dtype) @ kernel.astype(self.dtype)).astype(jnp.float32)

    def step(self, carry, inputs):
        """One step given the input product [B, gates * H]: (carry, outputs [B, H])."""
        raise NotImplementedError

    def __call__(self, carry, x):
        """One step from the raw input [B, D]: (carry, outputs [B, H])."""
        return self.step(carry, self.project(x))


class ElmanCell(Cell):
    """h_t = tanh(U x_t + W h_{t-1} + b), output h_t.

    Source: Elman, "Finding structure in time", 1990; the simple recurrent network of the lectures.
    """

    def step(self, carry, inputs):
        """Carry: h [B, H]."""
        h = jnp.tanh(inputs.astype(jnp.float32) + self.recur(carry, self.recurrent_kernel))
        return h, h


class LSTMCarry(NamedTuple):
    """Memory c and output h, both [B, H] float32."""

    c: jax.Array
    h: jax.Array


class LSTMCell(Cell):
    """Long short-term memory without peepholes.

    i, f, o = sigmoid(U x_t + W h_{t-1} + b) each with its own kernels, g = tanh(likewise),
    c_t = f c_{t-1} + i g,  h_t = o tanh(c_t).

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. The forget
    gate gets +1 before the sigmoid, so that memory is kept at the start (Jozefowicz et al. 2015).
    """

    gates = 4

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        """Zeros for both c and h."""
        zeros = Cell.initialize_carry(self, rng, input_shape)
        return LSTMCarry(zeros, zeros)

    def step(self, carry, inputs):
        """Carry: LSTMCarry(c, h)."""
        total = inputs.astype(jnp.float32) + self.recur(carry.h, self.recurrent_kernel)
        i, f, g, o = jnp.split(total, 4, axis=-1)
        c = nn.sigmoid(f + 1.0) * carry.c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return LSTMCarry(c, h), h


class GRUCell(Cell):
    """Gated recurrent unit, reset gate before the product.

    z, r = sigmoid(U x_t + W h_{t-1} + b) each with its own kernels,
    n = tanh(U_n x_t + W_n (r h_{t-1}) + b_n),  h_t = z h_{t-1} + (1 - z) n.

    Source: Cho et al. 2014. Some texts exchange z and 1 - z; this is the form in which z = 1 keeps.
    """

    gates = 3

    def step(self, carry, inputs):
        """Carry: h [B, H]."""
        split = 2 * self.features
        inputs = inputs.astype(jnp.float32)
        gates = inputs[..., :split] + self.recur(carry, self.recurrent_kernel[:, :split])
        z, r = jnp.split(nn.sigmoid(gates), 2, axis=-1)
        candidate = self.recur(r * carry, self.recurrent_kernel[:, split:])
        h = z * carry + (1.0 - z) * jnp.tanh(inputs[..., split:] + candidate)
        return h, h
