"""Multi-dimensional recurrent networks: the state of a cell depends on a neighbour along each axis.

A grid is processed one hyperplane sum(p) = t after another. The cells of a hyperplane do not depend
on each other, so a single scan of H + W - 1 steps processes an H x W grid, in all directions
together: see `nets.recurrent.hyperplanes`.
"""

import math
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from ..choices import product_in_each_cell
from ..shapes import expand_to, merge_rows, unmerge_rows, zeros_by_row
from .cells import LSTMCarry, Weights
from .hyperplanes import Hyperplanes, corners, farthest, grids_side_by_side, skew
from .initial import by_gate, drawn_wide


class MDRNN(nn.Module):
    """Recurrent network over the cells p of an n-dimensional grid, in several directions.

        Elman:  h_p = f(U x_p + sum_d W_d h_{p - e_d} + b)
        LSTM:   c_p = i_p g_p + sum_d f_{d,p} c_{p - e_d},    h_p = o_p f(c_p)
                i_p = sigmoid(U_i x_p + sum_d W_{i,d} h_{p - e_d} + b_i), o_p and each f_{d,p}
                likewise, g_p = f(U_g x_p + sum_d W_{g,d} h_{p - e_d} + b_g)

    where f is the activation function and f_{d,p} a forget gate, d runs over the axes, e_d is one
    step along d in the reading direction, and states outside the grid are zero. Source: Graves,
    Fernandez and Schmidhuber, "Multi-dimensional recurrent neural networks", 2007, without
    peepholes. With one axis, this is a plain recurrent network.

    features: H. cell: "lstm" or "elman". axes: n. directions: see `corners`; each of the K
    directions has its own weights. merge: concatenate the outputs of the directions in their order,
    or take their sum or mean. activation: f. dtype: dtype of the products (None: param_dtype).
    param_dtype: dtype of parameters, states and outputs.
    forget_bias: the forget gates of a cell initially sum to sigmoid(forget_bias), as their bias
    starts at -log(n (1 + exp(-forget_bias)) - 1), which is forget_bias for one axis. If all n gates
    of a cell started with the bias forget_bias, their sum could exceed 1, and the memory would grow
    by this factor from each hyperplane to the next. For the same reason, the recurrent kernels are
    initially orthogonal, gate by gate, and divided by sqrt(n).

    Parameters: kernel [K, D, G * H], bias [K, G * H], recurrent_kernel [K, n, H, G * H]; the order
    of the LSTM's gates in the columns is i, f_1, ..., f_n, g, o.

    >>> net, x = MDRNN(4), jnp.zeros((2, 5, 6, 3))
    >>> variables = jax.jit(net.init)(jax.random.key(0), x)
    >>> carry, outputs = jax.jit(net.apply)(variables, x)
    >>> outputs.shape, len(carry), carry[0].h.shape
    ((2, 5, 6, 16), 4, (2, 4))
    """

    features: int
    cell: Literal["lstm", "elman"] = "lstm"
    axes: int = 2
    directions: Any = None
    merge: Literal["concat", "sum", "mean"] = "concat"
    activation: Any = jnp.tanh
    forget_bias: float = 1.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def _weights(self, size: int, count: int) -> Weights:
        """Return the parameters of `count` directions for inputs with `size` features."""
        n, hidden = self.axes, self.features
        gates = n + 3 if self.cell == "lstm" else 1
        kernel = nn.initializers.lecun_normal(batch_axis=(0,))
        orthogonal = by_gate(nn.initializers.orthogonal(n**-0.5), gates)

        def recurrent(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            keys = jax.random.split(key, count * n)
            draw = jax.vmap(lambda k: orthogonal(k, (hidden, gates * hidden), dtype))
            return draw(keys).reshape(shape)

        def bias(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            del key
            start = -math.log(n * (1 + math.exp(-self.forget_bias)) - 1)
            forget = slice(hidden, (n + 1) * hidden) if self.cell == "lstm" else slice(0)
            return jnp.zeros(shape, dtype).at[:, forget].set(start)

        shapes = {
            "kernel": (kernel, (count, size, gates * hidden)),
            "bias": (bias, (count, gates * hidden)),
            "recurrent_kernel": (recurrent, (count, n, hidden, gates * hidden)),
        }
        return {
            name: self.param(name, drawn_wide(init), shape, self.param_dtype)
            for name, (init, shape) in shapes.items()
        }

    def _product(self, a: jax.Array, kernel: jax.Array) -> jax.Array:
        """Multiply in each direction: [K, ..., N, D] x [K, D, G * H] -> [K, ..., N, G * H]."""
        dtype = self.dtype or self.param_dtype
        (count, *cells, rows, size), columns = a.shape, kernel.shape[-1]
        steps = math.prod(cells)
        merged = merge_rows(a.astype(dtype).reshape(count, steps, rows, size), axis=1)
        product = unmerge_rows(merged @ kernel.astype(dtype), steps, rows, axis=1)
        return product.reshape(*a.shape[:-1], columns)

    def _cell(self, total: jax.Array, previous: list[Any]) -> Any:
        """Return the state, given the sum of all products and the previous state on each axis."""
        if self.cell == "elman":
            return self.activation(total)
        i, *forget, g, o = jnp.split(total, self.axes + 3, axis=-1)
        c = nn.sigmoid(i) * self.activation(g)
        for f, state in zip(forget, previous, strict=True):
            c = c + nn.sigmoid(f) * state.c
        return LSTMCarry(c, nn.sigmoid(o) * self.activation(c))

    def _check(self, x: jax.Array, mask: jax.Array | None) -> None:
        """Raise ValueError for an invalid setting or shape."""
        if self.cell not in ("lstm", "elman"):
            raise ValueError(f"cell must be 'lstm' or 'elman', got {self.cell!r}")
        if self.merge not in ("concat", "sum", "mean"):
            raise ValueError(f"merge must be 'concat', 'sum' or 'mean', got {self.merge!r}")
        if self.axes < 1 or x.ndim < self.axes + 1:
            raise ValueError(f"x must be [..., {self.axes} axes, features], got shape {x.shape}")
        if 0 in x.shape[-self.axes - 1 : -1]:
            raise ValueError(f"x must have at least one cell along each axis, got shape {x.shape}")
        if mask is not None and mask.shape != x.shape[:-1]:
            raise ValueError(f"mask must be {x.shape[:-1]} like x {x.shape}, got {mask.shape}")

    @nn.compact
    def __call__(
        self, x: ArrayLike, mask: ArrayLike | None = None
    ) -> tuple[tuple[Any, ...], jax.Array]:
        """Return (carry, outputs).

        x: float [*lead, S_1, ..., S_n, D], with any leading axes. mask: [*lead, S_1, ..., S_n],
        non-zero at valid cells. All other cells have a zero state, like those outside the grid, and
        their x is not read.
        outputs: [*lead, S_1, ..., S_n, K * H], or H columns when merged by sum or mean; zero at
        masked cells. carry: the state of each direction, LSTMCarry(c, h) or h, each [*lead, H], at
        its last corner; with a mask, at the valid cell that is farthest from its first corner (for
        a smaller image in a corner of the grid, the last corner of that image), or zero without
        valid cells. Raises ValueError for invalid shapes or settings.
        """
        x = jnp.asarray(x)
        mask = None if mask is None else jnp.asarray(mask)
        self._check(x, mask)
        n, hidden, signs = self.axes, self.features, corners(self.axes, self.directions)
        lead, sizes = x.shape[: x.ndim - n - 1], x.shape[-n - 1 : -1]
        weights = self._weights(x.shape[-1], len(signs))
        inputs = x.reshape(-1, *sizes, x.shape[-1])
        joined = grids_side_by_side(inputs.shape[0], math.prod(sizes) // max(sizes))
        planes = Hyperplanes(signs, sizes, joined)

        def project(a: jax.Array) -> jax.Array:
            bias = weights["bias"].reshape(len(signs), *[1] * (a.ndim - 2), -1)
            return (self._product(a, weights["kernel"]) + bias).astype(self.param_dtype)

        valid = jnp.ones((joined, *sizes, 1), bool)
        by_row = zeros_by_row(inputs, dtype=self.param_dtype).reshape(-1, joined)[:, 0]
        if mask is not None:
            valid = mask.reshape(-1, *sizes, 1) != 0
            inputs = jnp.where(valid, inputs, 0)
        inputs, valid = planes.arrange(inputs), skew(planes.arrange(valid), n)
        hoisted = not product_in_each_cell(x.shape[-1], hidden)
        inputs = skew(project(inputs) if hoisted else inputs, n)
        recurrent = weights["recurrent_kernel"].reshape(len(signs), n * hidden, -1)

        def neighbour(a: jax.Array, inside: jax.Array, d: int) -> jax.Array:
            """Align the previous hyperplane: give each cell the state one step back on axis d."""
            axis = planes.order.index(d) + 1
            if axis == n:
                return a if joined == 1 else jnp.where(inside, a, 0)
            padding = [(1, 0) if k == axis else (0, 0) for k in range(a.ndim)]
            return jnp.pad(jax.lax.slice_in_dim(a, 0, a.shape[axis] - 1, axis=axis), padding)

        def step(carry: Any, hyperplane: tuple[jax.Array, ...]) -> tuple[Any, Any]:
            inputs, valid, inside = hyperplane
            previous = [
                jax.tree.map(partial(neighbour, inside=inside, d=d), carry) for d in range(n)
            ]
            hs = jnp.concatenate([getattr(s, "h", s) for s in previous], axis=-1)
            total = self._product(hs, recurrent).astype(self.param_dtype)
            state = self._cell(total + (inputs if hoisted else project(inputs)), previous)
            # also zero outside the skewed grid, as the first cells read these states
            state = jax.tree.map(lambda a: jnp.where(valid, a, 0), state)
            if mask is not None:
                return state, (state, None)
            corner = jax.tree.map(lambda a: a[(slice(None), *[-1] * (n - 1))], state)
            return state, (getattr(state, "h", state), corner)

        zeros = jnp.zeros((*inputs.shape[1:-1], hidden), self.param_dtype)
        zeros += expand_to(by_row[:, None], zeros)
        start = LSTMCarry(zeros, zeros) if self.cell == "lstm" else zeros
        # recompute the gates for the gradient: stored, they would take most of the memory
        step = jax.checkpoint(step, prevent_cse=False)
        _, (states, corner) = jax.lax.scan(step, start, (inputs, valid, planes.inside()))

        states = jax.tree.map(planes.restore, states)
        if mask is None:
            final = jax.tree.map(planes.last_corners, corner)
        else:
            final = jax.tree.map(partial(farthest, valid=planes.restore(valid)), states)
        carry = tuple(
            jax.tree.map(lambda a, k=k: a[k].reshape(*lead, hidden), final)
            for k in range(len(signs))
        )
        merged = self._merge(planes.unflip(getattr(states, "h", states)))
        return carry, merged.reshape(*lead, *sizes, merged.shape[-1])

    def _merge(self, outputs: list[jax.Array]) -> jax.Array:
        """Merge the outputs of the directions, each [N, S_1, ..., S_n, H]."""
        if self.merge == "concat":
            return jnp.concatenate(outputs, axis=-1)
        total = sum(outputs[1:], start=outputs[0])
        return total if self.merge == "sum" else total / len(outputs)
