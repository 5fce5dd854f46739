"""Cells that are linear in their state, so that all steps can be computed in parallel.

    h_t = a_t h_{t-1} + b_t,    where a_t and b_t depend on x_t alone

An associative scan runs them in about log T steps instead of T. They are modern
counterparts of the GRU and the LSTM: Feng et al., "Were RNNs all we needed?", 2024.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from .cells import Cell, Drop, Parameters, Weights
from .scan import Options, Steps

Pair = tuple[jax.Array, jax.Array]


class ParallelCell(Cell):
    """Base class of cells without a recurrent kernel; a subclass defines `coefficients`."""

    def parameters(self, size: int) -> Parameters:
        """Return those of the input kernel and the bias."""
        parameters = super().parameters(size)
        del parameters["recurrent_kernel"]
        return parameters

    @nn.nowrap
    def coefficients(self, inputs: jax.Array) -> Pair:
        """Return a and b, both [N, H], from the input product [N, G * H]."""
        raise NotImplementedError

    def step(self, weights: Weights, carry: Any, inputs: jax.Array, drop: Drop = None) -> jax.Array:
        """Return the new carry h [N, H]; `drop` multiplies the previous one."""
        a, b = self.coefficients(inputs.astype(carry.dtype))
        return a * (carry if drop is None else carry * drop) + b

    @nn.nowrap
    def scan_parallel(
        self,
        weights: Weights,
        carry: jax.Array,
        steps: Steps,
        options: Options,
        *,
        drop: Drop = None,
        fresh: jax.Array | None = None,
    ) -> Pair:
        """Run over time by `lax.associative_scan`; return (carry, outputs [T, N, H]).

        (a, b) followed by (a', b') is (a a', a' b + b'), which is associative. drop: as in `step`.
        fresh: carry [H] after a reset, zeros if None. The number of steps must not be symbolic.
        """
        a, b = self.coefficients(self.project(weights, steps.x).astype(carry.dtype))
        if drop is not None:
            a = a * drop
        if steps.valid is not None:
            a = jnp.where(steps.valid[..., None], a, 1)
            b = jnp.where(steps.valid[..., None], b, 0)
        if steps.resets is not None:
            if fresh is not None:
                b = jnp.where(steps.resets[..., None], a * fresh + b, b)
            a = jnp.where(steps.resets[..., None], 0, a)
        if not a.shape[0]:
            return carry, b
        first = -1 if options.reverse else 0

        def combine(earlier: Pair, later: Pair) -> Pair:
            # 0 * NaN is NaN, also in the gradient
            a, b = (jnp.where(later[0] == 0, 0, leaf) for leaf in earlier)
            return a * later[0], later[0] * b + later[1]

        b = b.at[first].set(combine((a[first], carry), (a[first], b[first]))[1])

        _, h = lax.associative_scan(combine, (a, b), reverse=options.reverse)
        outputs = h if steps.valid is None else jnp.where(steps.valid[..., None], h, 0)
        return h[0 if options.reverse else -1], outputs


class MinGRUCell(ParallelCell):
    """h_t = z_t h_{t-1} + (1 - z_t) (U_n x_t + b_n),  z_t = sigmoid(U_z x_t + b_z).

    With z = 1 the state is kept, as in GRUCell; the paper writes z for 1 - z. The order of the
    gates is z, n.
    """

    @property
    def gates(self) -> int:
        """Number of gates: z and n."""
        return 2

    def coefficients(self, inputs: jax.Array) -> Pair:
        """Return z and (1 - z) n."""
        z, n = jnp.split(inputs, 2, axis=-1)
        z = nn.sigmoid(z)
        return z, (1 - z) * n


class MinLSTMCell(ParallelCell):
    """h_t = f'_t h_{t-1} + i'_t (U_g x_t + b_g), with f' = f / (f + i) and i' = i / (f + i).

    i_t = sigmoid(U_i x_t + b_i), f_t likewise. The order of the gates is i, f, g.
    """

    @property
    def gates(self) -> int:
        """Number of gates: i, f and g."""
        return 3

    def coefficients(self, inputs: jax.Array) -> Pair:
        """Return f' and i' g."""
        i, f, g = jnp.split(inputs, 3, axis=-1)
        # f / (f + i) as a sigmoid of log f - log i, which cannot become 0 / 0
        keep = nn.sigmoid(nn.log_sigmoid(f) - nn.log_sigmoid(i))
        return keep, (1 - keep) * g
