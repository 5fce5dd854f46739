"""Multi-dimensional recurrent networks: a state that depends on a neighbour along every axis.

A grid is read by its hyperplanes sum(p) = t. The cells of one do not depend on each other, so that
an H x W grid takes H + W - 1 steps of one scan, for all directions together. For this the grid is
skewed: the row that belongs to index r is shifted by r, and a hyperplane becomes a column.
"""

import itertools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from .cells import LSTMCarry, by_gate


def corners(axes: int, directions) -> tuple[tuple[int, ...], ...]:
    """Return the direction of reading along each axis, 1 or -1, for each set of weights.

    directions: None for all 2^axes; 1, from the first corner; 2, from the first and from the
    opposite one; 2^axes; or the tuples themselves. Raises ValueError for anything else.
    """
    every = tuple(itertools.product((1, -1), repeat=axes))
    if directions is None:
        return every
    usual = {1: every[:1], 2: (every[0], every[-1]), len(every): every}
    if isinstance(directions, int):
        if directions not in usual:
            raise ValueError(f"directions must be one of {sorted(usual)}, got {directions}")
        return usual[directions]
    found = tuple(tuple(signs) for signs in directions)
    if not found or any(signs not in every for signs in found):
        raise ValueError(f"directions must be {axes} signs, 1 or -1, each, got {directions!r}")
    return found


def _skew_pair(a, axis: int):
    """Shift row r by r: [.., R, W, ..] to [.., R, R + W - 1, ..], zeros where nothing was."""
    rows, columns = a.shape[axis : axis + 2]
    before, after = a.shape[:axis], a.shape[axis + 2 :]
    steps = rows + columns - 1
    padding = [(0, 0)] * a.ndim
    padding[axis + 1] = (0, rows)
    # rows of steps + 1 read as rows of steps: each starts one place later than the one before
    flat = jnp.pad(a, padding).reshape(*before, rows * (steps + 1), *after)
    flat = jax.lax.slice_in_dim(flat, 0, rows * steps, axis=axis)
    return flat.reshape(*before, rows, steps, *after)


def _unskew_pair(a, axis: int, columns: int):
    """Undo `_skew_pair` for rows of length `columns`."""
    rows, steps = a.shape[axis : axis + 2]
    before, after = a.shape[:axis], a.shape[axis + 2 :]
    padding = [(0, 0)] * (a.ndim - 1)
    padding[axis] = (0, rows)
    flat = jnp.pad(a.reshape(*before, rows * steps, *after), padding)
    return jax.lax.slice_in_dim(
        flat.reshape(*before, rows, steps + 1, *after), 0, columns, axis=axis + 1
    )


def skew(a, axes: int):
    """Return [T, K, S_1, ..., S_{n-1}, ...] of a [K, S_1, ..., S_n, ...], n = axes.

    Place (t, k, p_1, ..., p_{n-1}) holds a[k, p] with p_n = t - p_1 - ... - p_{n-1}, or zero when
    that is not in the grid; T = S_1 + ... + S_n - n + 1.
    """
    for axis in reversed(range(1, axes)):
        a = jnp.moveaxis(_skew_pair(jnp.moveaxis(a, axis, axes - 1), axes - 1), axes - 1, axis)
    return jnp.moveaxis(a, axes, 0)


def unskew(a, axes: int, columns: int):
    """Undo `skew`; columns: S_n."""
    a = jnp.moveaxis(a, 0, axes)
    for axis in range(1, axes):
        width = columns + sum(a.shape[axis + 1 : axes]) - (axes - 1 - axis)
        pair = _unskew_pair(jnp.moveaxis(a, axis, axes - 1), axes - 1, width)
        a = jnp.moveaxis(pair, axes - 1, axis)
    return a


class MDRNN(nn.Module):
    """Recurrent network over the cells p of an n-dimensional grid, read from several corners.

        Elman:  h_p = f(U x_p + sum_d W_d h_{p - e_d} + b)
        LSTM:   c_p = i_p g_p + sum_d f_{d,p} c_{p - e_d},    h_p = o_p f(c_p)
                i_p = sigmoid(U_i x_p + sum_d W_{i,d} h_{p - e_d} + b_i), o_p and each f_{d,p}
                likewise, g_p = f(U_g x_p + sum_d W_{g,d} h_{p - e_d} + b_g)

    with d over the axes, e_d one step along d in the direction of reading, and zeros beyond the
    border. Source: Graves, Fernandez and Schmidhuber, "Multi-dimensional recurrent neural
    networks", 2007, without peepholes. With one axis it is the plain network over time.

    features: H. cell: "lstm" or "elman". axes: n. directions: see `corners`; each of the K has its
    own weights. merge: outputs of the directions concatenated in their order, summed or averaged.
    activation: f. dtype is that of the products (None: param_dtype), param_dtype that of
    parameters, states and outputs.
    forget_bias: the forget gates of a cell start so that they sum to sigmoid(forget_bias), by the
    initial bias -log(n (1 + exp(-forget_bias)) - 1), which is forget_bias itself for one axis. With
    that bias for each of n axes they would sum to more than 1, and the memory would grow by this
    sum from each hyperplane to the next. The recurrent kernels start orthogonal, gate by gate,
    divided by sqrt(n) for the same reason.

    Parameters: kernel [K, D, G * H], bias [K, G * H], recurrent_kernel [K, n, H, G * H]; the
    columns of the LSTM hold the gates in the order i, f_1, ..., f_n, g, o.
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

    def _weights(self, size: int, count: int):
        """Parameters of `count` directions for inputs of `size` features."""
        n, hidden = self.axes, self.features
        gates = n + 3 if self.cell == "lstm" else 1
        kernel = nn.initializers.lecun_normal(batch_axis=(0,))
        orthogonal = by_gate(nn.initializers.orthogonal(n**-0.5), gates)

        def recurrent(key, shape, dtype):
            keys = jax.random.split(key, count * n)
            draw = jax.vmap(lambda k: orthogonal(k, (hidden, gates * hidden), dtype))
            return draw(keys).reshape(shape)

        def bias(key, shape, dtype):
            del key
            start = -math.log(n * (1 + math.exp(-self.forget_bias)) - 1)
            forget = slice(hidden, (n + 1) * hidden) if self.cell == "lstm" else slice(0)
            return jnp.zeros(shape, dtype).at[:, forget].set(start)

        shapes = {
            "kernel": (kernel, (count, size, gates * hidden)),
            "bias": (bias, (count, gates * hidden)),
            "recurrent_kernel": (recurrent, (count, n, hidden, gates * hidden)),
        }
        return {name: self.param(name, *how, self.param_dtype) for name, how in shapes.items()}

    def _product(self, a, kernel):
        """Products of each direction: [K, ..., D] x [K, D, G * H] -> [K, ..., G * H]."""
        dtype = self.dtype or self.param_dtype
        rows = a.astype(dtype).reshape(a.shape[0], -1, a.shape[-1]) @ kernel.astype(dtype)
        return rows.reshape(*a.shape[:-1], -1)

    def _cell(self, total, before):
        """State from the sum of the products and the states before it along each axis."""
        if self.cell == "elman":
            return self.activation(total)
        i, *forget, g, o = jnp.split(total, self.axes + 3, axis=-1)
        c = nn.sigmoid(i) * self.activation(g)
        for f, state in zip(forget, before, strict=True):
            c = c + nn.sigmoid(f) * state.c
        return LSTMCarry(c, nn.sigmoid(o) * self.activation(c))

    def _check(self, x, mask):
        """Raise ValueError for a setting or a shape that cannot be read."""
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
    def __call__(self, x, mask=None):
        """Return (carry, outputs).

        x: float [*lead, S_1, ..., S_n, D], any leading axes. mask: [*lead, S_1, ..., S_n], non-zero
        at real cells; the state of the others is zero, as beyond the border, and what x holds there
        is not read.
        outputs: [*lead, S_1, ..., S_n, K * H], or H columns when merged otherwise, zero where
        masked. carry: for each direction the state [*lead, H] at its last corner, LSTMCarry(c, h)
        or h; with a mask, at the real cell that is furthest from its first corner, which for a
        smaller image in a corner of the grid is that image's last corner; zeros when none is real.
        Raises ValueError when x or mask has another shape, and for unknown settings.
        """
        self._check(x, mask)
        n, hidden, signs = self.axes, self.features, corners(self.axes, self.directions)
        lead, sizes = x.shape[: x.ndim - n - 1], x.shape[-n - 1 : -1]
        weights = self._weights(x.shape[-1], len(signs))
        order = sorted(range(n), key=lambda d: sizes[d])  # the longest axis has no dense cells

        def flip(a, s):
            return jnp.flip(a, [d + 1 for d in range(n) if s[d] < 0])

        def arrange(a):
            """[N, S_1, ..., S_n, D] to [K, sizes in order, N, D], as each direction reads it."""
            return jnp.stack([flip(a, s) for s in signs]).transpose(
                0, *(d + 2 for d in order), 1, n + 2
            )

        def project(a):
            bias = weights["bias"].reshape(len(signs), *[1] * (a.ndim - 2), -1)
            return (self._product(a, weights["kernel"]) + bias).astype(self.param_dtype)

        inputs, real = x.reshape(-1, *sizes, x.shape[-1]), jnp.ones((1, *sizes, 1), bool)
        if mask is not None:
            real = mask.reshape(-1, *sizes, 1) != 0
            inputs = jnp.where(real, inputs, 0)
        inputs, real = arrange(inputs), skew(arrange(real), n)
        # one large product before the scan, unless that is many times as wide as the input is:
        # then writing and reading it costs more than small products do in each step
        hoisted = x.shape[-1] > hidden
        inputs = skew(project(inputs) if hoisted else inputs, n)
        recurrent = weights["recurrent_kernel"].reshape(len(signs), n * hidden, -1)

        def neighbour(a, d):
            """Last hyperplane's state, at each cell that of the cell before it along axis d."""
            axis = order.index(d) + 1
            if axis == n:
                return a
            padding = [(1, 0) if k == axis else (0, 0) for k in range(a.ndim)]
            return jnp.pad(jax.lax.slice_in_dim(a, 0, a.shape[axis] - 1, axis=axis), padding)

        def step(carry, t):
            inputs, real = t
            before = [jax.tree.map(lambda a, d=d: neighbour(a, d), carry) for d in range(n)]
            hs = jnp.concatenate([getattr(s, "h", s) for s in before], axis=-1)
            total = self._product(hs, recurrent).astype(self.param_dtype)
            state = self._cell(total + (inputs if hoisted else project(inputs)), before)
            # cells that are not in the grid yet, too: they are the border of the first real ones
            state = jax.tree.map(lambda a: jnp.where(real, a, 0), state)
            return state, state if mask is not None else getattr(state, "h", state)

        zeros = jnp.zeros((*inputs.shape[1:-1], hidden), self.param_dtype)
        start = LSTMCarry(zeros, zeros) if self.cell == "lstm" else zeros
        # the gates are computed again on the way back: kept, they would be most of the memory
        step = jax.checkpoint(step, prevent_cse=False)
        last, states = jax.lax.scan(step, start, (inputs, real))

        if mask is None:
            final = jax.tree.map(lambda a: a[(slice(None), *[-1] * (n - 1))], last)
        else:
            final = jax.tree.map(lambda a: _furthest(a, real, n), states)
        carry = tuple(
            jax.tree.map(lambda a, k=k: a[k].reshape(*lead, hidden), final)
            for k in range(len(signs))
        )
        h = unskew(getattr(states, "h", states), n, sizes[order[-1]])
        h = h.transpose(0, n + 1, *(order.index(d) + 1 for d in range(n)), n + 2)
        merged = self._merge([flip(a, s) for a, s in zip(h, signs, strict=True)])
        return carry, merged.reshape(*lead, *sizes, merged.shape[-1])

    def _merge(self, outputs):
        """Outputs of the directions, [N, S_1, ..., S_n, H] each, as one."""
        if self.merge == "concat":
            return jnp.concatenate(outputs, axis=-1)
        total = sum(outputs[1:], start=outputs[0])
        return total if self.merge == "sum" else total / len(outputs)


def _furthest(states, real, axes: int):
    """State [K, N, H] at the real cell of the last hyperplane that has one, of states [T, ...]."""
    steps = jnp.arange(1, len(real) + 1).reshape(-1, *[1] * (real.ndim - 1))
    # [T, K, cells.., N, .] to [T * cells, K, N, .]
    score, flat = (
        jnp.moveaxis(a, 1, axes).reshape(-1, a.shape[1], *a.shape[-2:])
        for a in (real * steps, states)
    )
    return jnp.take_along_axis(flat, jnp.argmax(score, axis=0)[None], axis=0)[0]
