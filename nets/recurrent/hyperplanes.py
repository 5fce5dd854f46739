"""Hyperplanes of grids, as the columns of a skewed grid.

The cells p of a hyperplane sum(p) = t do not depend on each other. Shifting row r by r cells turns
the hyperplanes into columns. In each row of a skewed grid of H x W cells, H - 1 of H + W - 1 cells
are empty. If n grids of a batch are put side by side, as one grid of n W columns, only H - 1 of
n W + H - 1 cells are empty.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..choices import joins_grids
from ..shapes import is_static, parts_of


def corners(axes: int, directions: Any) -> tuple[tuple[int, ...], ...]:
    """Return the signs of each direction: for each axis, 1 to read it forwards, -1 backwards.

    directions: None or 2^axes for all corners; 1 for the first corner; 2 for the first corner and
    the one opposite; or the tuples of signs themselves. Raises ValueError for anything else.

    >>> corners(2, 2)
    ((1, 1), (-1, -1))
    """
    every = tuple(itertools.product((1, -1), repeat=axes))
    if directions is None:
        return every
    by_count = {1: every[:1], 2: (every[0], every[-1]), len(every): every}
    if isinstance(directions, int):
        if directions not in by_count:
            raise ValueError(f"directions must be one of {sorted(by_count)}, got {directions}")
        return by_count[directions]
    chosen = tuple(tuple(signs) for signs in directions)
    if not chosen or any(signs not in every for signs in chosen):
        raise ValueError(
            f"each of the directions must be {axes} signs, 1 or -1, got {directions!r}"
        )
    return chosen


def _skew_pair(a: jax.Array, axis: int) -> jax.Array:
    """Shift row r by r cells: [.., R, W, ..] to [.., R, R + W - 1, ..], filled with zeros."""
    rows, columns = a.shape[axis : axis + 2]
    before, after = a.shape[:axis], a.shape[axis + 2 :]
    steps = rows + columns - 1
    padding = [(0, 0)] * a.ndim
    padding[axis + 1] = (0, rows)
    # rows of length steps + 1, reshaped to length steps: each starts one position after the last
    flat = jnp.pad(a, padding).reshape(*before, rows * (steps + 1), *after)
    flat = jax.lax.slice_in_dim(flat, 0, rows * steps, axis=axis)
    return flat.reshape(*before, rows, steps, *after)


def _unskew_pair(a: jax.Array, axis: int, columns: int) -> jax.Array:
    """Invert `_skew_pair` for rows of length `columns`."""
    rows, steps = a.shape[axis : axis + 2]
    before, after = a.shape[:axis], a.shape[axis + 2 :]
    padding = [(0, 0)] * (a.ndim - 1)
    padding[axis] = (0, rows)
    flat = jnp.pad(a.reshape(*before, rows * steps, *after), padding)
    return jax.lax.slice_in_dim(
        flat.reshape(*before, rows, steps + 1, *after), 0, columns, axis=axis + 1
    )


def skew(a: jax.Array, axes: int) -> jax.Array:
    """Map a [K, S_1, ..., S_n, ...] with n = axes to [T, K, S_1, ..., S_{n-1}, ...].

    The entry at (t, k, p_1, ..., p_{n-1}) is a[k, p] with p_n = t - p_1 - ... - p_{n-1}, or zero if
    p is outside the grid; T = S_1 + ... + S_n - n + 1.
    """
    for axis in reversed(range(1, axes)):
        a = jnp.moveaxis(_skew_pair(jnp.moveaxis(a, axis, axes - 1), axes - 1), axes - 1, axis)
    return jnp.moveaxis(a, axes, 0)


def unskew(a: jax.Array, axes: int, columns: int) -> jax.Array:
    """Invert `skew`; columns: S_n."""
    a = jnp.moveaxis(a, 0, axes)
    for axis in range(1, axes):
        width = columns + sum(a.shape[axis + 1 : axes]) - (axes - 1 - axis)
        pair = _unskew_pair(jnp.moveaxis(a, axis, axes - 1), axes - 1, width)
        a = jnp.moveaxis(pair, axes - 1, axis)
    return a


def grids_side_by_side(rows: int, cells: int) -> int:
    """Return how many grids of a batch of `rows` are joined, with `cells` cells in a hyperplane.

    The number divides the rows of each device. It is 1 for hyperplanes of one cell, because then no
    cell is empty, and where `rows` is not known when the program is traced.
    """
    if not is_static(rows) or cells == 1:
        return 1
    own = rows // parts_of(rows)
    return max(
        (n for n in range(1, own + 1) if own % n == 0 and joins_grids(rows // n * cells)),
        default=1,
    )


def join(a: jax.Array, count: int, axes: int) -> jax.Array:
    """Put `count` grids side by side: [K, ..., S_n, N, D] to [K, ..., count S_n, N / count, D].

    Neighbours in the batch are joined, so the rows of a device stay on it.
    """
    before, (length, rows, size) = a.shape[:axes], a.shape[axes:]
    split = a.reshape(*before, length, rows // count, count, size)
    return jnp.moveaxis(split, -2, axes).reshape(*before, count * length, rows // count, size)


def disjoin(a: jax.Array, count: int, axes: int) -> jax.Array:
    """Invert `join`."""
    before, (length, rows, size) = a.shape[:axes], a.shape[axes:]
    split = a.reshape(*before, count, length // count, rows, size)
    return jnp.moveaxis(split, axes, -2).reshape(*before, length // count, rows * count, size)


class Hyperplanes(NamedTuple):
    """How the cells of a batch of grids are arranged, for each of K reading directions.

    signs: those of each direction, as `corners` returns them. sizes: S_1, ..., S_n. joined: number
    of grids that are put side by side.
    """

    signs: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    joined: int = 1

    @property
    def order(self) -> list[int]:
        """The axes, the longest one last: the states of a step span all axes except that one."""
        return sorted(range(len(self.sizes)), key=lambda d: self.sizes[d])

    @property
    def length(self) -> int:
        """Length of the longest axis."""
        return max(self.sizes)

    def flip(self, a: jax.Array, signs: tuple[int, ...]) -> jax.Array:
        """Reverse those axes of a [N, S_1, ..., S_n, D] that a direction reads backwards."""
        return jnp.flip(a, [d + 1 for d, sign in enumerate(signs) if sign < 0])

    def arrange(self, a: jax.Array) -> jax.Array:
        """Map a [N, S_1, ..., S_n, D] to [K, sizes in order, N, D], flipped and joined."""
        n = len(self.sizes)
        flipped = jnp.stack([self.flip(a, signs) for signs in self.signs])
        ordered = flipped.transpose(0, *(d + 2 for d in self.order), 1, n + 2)
        return join(ordered, self.joined, n)

    def inside(self) -> jax.Array:
        """Whether each cell is not in the first column of its grid: bool [T, 1, cells.., 1, 1]."""
        columns = jnp.arange(self.joined * self.length)[:, None, None] % self.length > 0
        before = [self.sizes[d] for d in self.order[:-1]]
        return skew(jnp.broadcast_to(columns, (1, *before, *columns.shape)), len(self.sizes))

    def restore(self, a: jax.Array) -> jax.Array:
        """Undo the skewing and the joining: map a [T, ...] to [K, sizes in order, N, ...]."""
        n = len(self.sizes)
        return disjoin(unskew(a, n, self.joined * self.length), self.joined, n)

    def unflip(self, a: jax.Array) -> list[jax.Array]:
        """Map a [K, sizes in order, N, ...] to one [N, S_1, ..., S_n, ...] per direction."""
        n = len(self.sizes)
        a = a.transpose(0, n + 1, *(self.order.index(d) + 1 for d in range(n)), n + 2)
        return [self.flip(each, signs) for each, signs in zip(a, self.signs, strict=True)]

    def last_corners(self, a: jax.Array) -> jax.Array:
        """Select [K, N, H], the last cell of each grid.

        a: [T, K, N / joined, H], the last cell of each hyperplane.
        """
        steps, count, rows, size = a.shape
        ends = steps - 1 - self.length * jnp.arange(self.joined)[::-1]
        return jnp.moveaxis(a[ends], 0, 2).reshape(count, rows * self.joined, size)


def farthest(states: jax.Array, valid: jax.Array) -> jax.Array:
    """Select [K, N, H] from states [K, cells.., N, H]: a valid cell farthest from the first one."""
    count, *cells, rows, hidden = states.shape
    distance = sum(jnp.ogrid[tuple(slice(size) for size in cells)], jnp.ones((), int))
    score = (valid[..., 0] * distance[..., None]).reshape(count, -1, rows)
    index = jnp.argmax(score, axis=1)[:, None, :, None]
    return jnp.take_along_axis(states.reshape(count, -1, rows, hidden), index, axis=1)[:, 0]
