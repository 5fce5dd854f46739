"""Cells whose state is linear in the last one, so that all steps are computed in parallel.

    h_t = a_t h_{t-1} + b_t,    a_t and b_t functions of x_t alone

The driver runs them by `lax.associative_scan`, in about log T steps in place of T. They are the
modern comparison to the GRU and the LSTM: Feng et al., "Were RNNs all we needed?", 2024.
"""

import jax.numpy as jnp
from flax import linen as nn

from .cells import Cell


class ParallelCell(Cell):
    """A cell without a recurrent kernel; a subclass gives `coefficients`."""

    @nn.nowrap
    def parameters(self, size):
        """Input kernel and bias."""
        found = super().parameters(size)
        del found["recurrent_kernel"]
        return found

    def coefficients(self, inputs):
        """Return a and b, both [N, H], of the input product [N, G * H]."""
        raise NotImplementedError

    def step(self, weights, carry, inputs, drop=None):
        """Carry: h [N, H]; `drop` multiplies it where it enters the sum."""
        a, b = self.coefficients(inputs.astype(carry.dtype))
        return a * (carry if drop is None else carry * drop) + b


class MinGRUCell(ParallelCell):
    """h_t = z_t h_{t-1} + (1 - z_t) (U_n x_t + b_n),  z_t = sigmoid(U_z x_t + b_z).

    z = 1 keeps, as in GRUCell; in the paper z is what 1 - z is here. Gates in the order z, n.
    """

    @property
    def gates(self) -> int:
        """Two blocks: z and n."""
        return 2

    def coefficients(self, inputs):
        """Return z and (1 - z) n."""
        z, n = jnp.split(inputs, 2, axis=-1)
        z = nn.sigmoid(z)
        return z, (1 - z) * n


class MinLSTMCell(ParallelCell):
    """h_t = f'_t h_{t-1} + i'_t (U_g x_t + b_g), with f' = f / (f + i) and i' = i / (f + i).

    i_t = sigmoid(U_i x_t + b_i), f_t likewise. Gates in the order i, f, g.
    """

    @property
    def gates(self) -> int:
        """Three blocks: i, f and g."""
        return 3

    def coefficients(self, inputs):
        """Return f' and i' g."""
        i, f, g = jnp.split(inputs, 3, axis=-1)
        # f / (f + i) as a sigmoid of log f - log i, which does not divide 0 by 0
        keep = nn.sigmoid(nn.log_sigmoid(f) - nn.log_sigmoid(i))
        return keep, (1 - keep) * g
