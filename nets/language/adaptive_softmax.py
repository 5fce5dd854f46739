"""Adaptive softmax: frequent words in a head, all others in clusters of reduced width.

Source: Grave, Joulin, Cissé, Grangier and Jégou 2017, "Efficient softmax approximation for GPUs".
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..shapes import as_rows_of, by_part, divided, expand_to, parts_of, varying, zeros_by_row

CHUNKS = 8  # a cluster runs an eighth of all rows at a time: little padding, yet large products

Weights = dict[str, jax.Array]


class AdaptiveSoftmax(nn.Module):
    """P(w) = head(w) for w below the first cut-off, else head(cluster of w) tail(w in its cluster).

    head = softmax(W h + b) over the frequent words plus one entry for each cluster; the tail of
    cluster i, counted from 0, is softmax(W_i P_i h + b_i), where P_i projects to 1 / factor^(i+1)
    of the features of h.

    vocabulary: number V of words; the id of a word is its frequency rank. cutoffs: the id at which
    each cluster starts, increasing, below V. Without cut-offs this is the softmax of a Dense layer,
    with parameters of the same names. dtype: that of the products.
    Raises ValueError for any other cut-offs.

    >>> softmax, x = AdaptiveSoftmax(vocabulary=100, cutoffs=(10, 40)), jnp.ones((2, 16))
    >>> log_p, _ = jax.eval_shape(softmax.init_with_output, jax.random.key(0), x)
    >>> log_p.shape
    (2, 100)
    """

    vocabulary: int
    cutoffs: tuple[int, ...] = ()
    factor: int = 4
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, targets: jax.Array | None = None) -> jax.Array:
        """Return log P float32 [..., V] for x [..., D], or [...] of the targets int32 [...] only.

        With targets, a row of x costs the head, plus the tail of its target's cluster if it is in
        one. The number of rows in a cluster may differ from call to call.
        """
        bounds = (0, *self.cutoffs, self.vocabulary)
        if any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(
                f"cutoffs must increase between 0 and vocabulary {self.vocabulary}, "
                f"got {self.cutoffs}"
            )
        zeros, first, features = nn.initializers.zeros, bounds[1], x.shape[-1]
        ids = first + len(self.cutoffs)
        head = {
            "kernel": self.param("kernel", self.kernel_init, (features, ids), jnp.float32),
            "bias": self.param("bias", zeros, (ids,), jnp.float32),
        }
        tails = []
        for i, size in enumerate(b - a for a, b in pairwise(bounds[1:])):
            width = max(1, features // self.factor ** (i + 1))
            shapes = {"projection": (features, width), "kernel": (width, size)}
            kernels = {
                name: self.param(f"{name}_{i}", self.kernel_init, shape, jnp.float32)
                for name, shape in shapes.items()
            }
            bias = self.param(f"bias_{i}", zeros, (size,), jnp.float32)
            tails.append({**kernels, "bias": bias})
        head_log_p = _log_softmax(head, x, self.dtype)
        if targets is None:
            tail_log_p = [
                head_log_p[..., first + i, None] + _log_softmax(tail, x, self.dtype)
                for i, tail in enumerate(tails)
            ]
            return jnp.concatenate([head_log_p[..., :first], *tail_log_p], axis=-1)
        cutoffs = expand_to(jnp.array(self.cutoffs, jnp.int32), targets[..., None])
        cluster = (targets[..., None] >= cutoffs).sum(axis=-1, dtype=jnp.int32)
        in_head = jnp.where(cluster > 0, first + cluster - 1, targets)
        log_p = jnp.take_along_axis(head_log_p, in_head[..., None], axis=-1)[..., 0]
        parts = parts_of(targets.shape[0]) if targets.ndim else 1
        shape = (parts, targets.size // parts)
        where = divided(x)
        rows = jnp.reshape(x, (*shape, features), out_sharding=where)
        words, cluster = (jnp.reshape(a, shape, out_sharding=where) for a in (targets, cluster))
        for i, tail in enumerate(tails):
            in_tail = words - self.cutoffs[i]
            weights = varying(tail, rows)
            in_cluster = _masked_log_prob(self.dtype, weights, rows, in_tail, cluster == i + 1)
            log_p += jnp.reshape(in_cluster, targets.shape, out_sharding=where)
        return log_p


def _log_softmax(weights: Weights, x: jax.Array, dtype: Any) -> jax.Array:
    """Return log-probabilities float32 [..., n] of one softmax."""
    weights = jax.tree.map(lambda leaf: leaf.astype(dtype), weights)
    x = x.astype(dtype)
    if "projection" in weights:
        x = x @ weights["projection"]
    logits = x @ weights["kernel"]
    logits = logits + expand_to(weights["bias"], logits)
    return jax.nn.log_softmax(logits.astype(jnp.float32))


def _log_prob(dtype: Any, weights: Weights, x: jax.Array, targets: jax.Array) -> jax.Array:
    log_p = _log_softmax(weights, x, dtype)
    return jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]


# Shapes are static, but the number of rows in a cluster is not. So the rows of a cluster are
# processed in chunks of a fixed size, by a loop that stops after the last of them. Such a loop has
# no derivative: the gradient is a loop as well, which recomputes each chunk. Each of P parts of the
# rows has its own chunks, and its own sum of gradients, so that devices keep the rows they have.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _masked_log_prob(
    dtype: Any, weights: Weights, x: jax.Array, targets: jax.Array, mask: jax.Array
) -> jax.Array:
    """Return log P float32 [P, N] of targets int32 [P, N] given x [P, N, D] where mask, else 0."""
    chunks, rows_of = _chunks(mask)

    def add(chunk: jax.Array, log_p: jax.Array) -> jax.Array:
        rows = rows_of(chunk)
        own = _log_prob(dtype, weights, _take(x, rows), _take(targets, rows))
        return _put(log_p, rows, own)

    return jax.lax.fori_loop(0, chunks, add, zeros_by_row(x, 2))


def _forward(
    dtype: Any, weights: Weights, x: jax.Array, targets: jax.Array, mask: jax.Array
) -> tuple[jax.Array, Any]:
    return _masked_log_prob(dtype, weights, x, targets, mask), (weights, x, targets, mask)


def _backward(dtype: Any, residuals: Any, gradient: jax.Array) -> tuple[Any, ...]:
    weights, x, targets, mask = residuals
    chunks, rows_of = _chunks(mask)

    def pull(x: jax.Array, targets: jax.Array, gradient: jax.Array) -> Any:
        _, pullback = jax.vjp(partial(_log_prob, dtype, targets=targets), weights, x)
        return pullback(gradient)

    def add(chunk: jax.Array, sums: Any) -> Any:
        rows = rows_of(chunk)
        taken = (_take(leaf, rows) for leaf in (x, targets, gradient))
        of_weights, of_x = by_part(pull, *taken)
        return jax.tree.map(jnp.add, sums[0], of_weights), _put(sums[1], rows, of_x)

    def zeros(leaf: jax.Array) -> jax.Array:
        return as_rows_of(x, jnp.zeros((len(x), *leaf.shape), leaf.dtype))

    of_weights = jax.tree.map(zeros, weights)
    of_weights, of_x = jax.lax.fori_loop(0, chunks, add, (of_weights, jnp.zeros_like(x)))
    return jax.tree.map(lambda leaf: leaf.sum(axis=0), of_weights), of_x, None, None


_masked_log_prob.defvjp(_forward, _backward)


def _chunks(mask: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """Return the number of chunks of the rows selected by mask [P, N], and chunk -> rows [P, n].

    The rows of a chunk are indices int32; the last chunk is padded with N, which is out of range.
    """
    count = mask.shape[1]
    size = -(-count // CHUNKS)

    def selected(mask: jax.Array) -> jax.Array:
        return jnp.nonzero(mask, size=size * CHUNKS, fill_value=count)[0]

    order = by_part(selected, mask)
    chunks = -(-mask.sum(axis=1).max() // size)
    return chunks, lambda chunk: jax.lax.dynamic_slice_in_dim(order, chunk * size, size, axis=1)


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    """Return the rows [P, n] of x [P, N, ...], with zeros for rows that are out of range."""

    def take(x: jax.Array, rows: jax.Array) -> jax.Array:
        return x.at[rows].get(mode="fill", fill_value=0)

    return by_part(take, jnp.asarray(x), rows)


def _put(x: jax.Array, rows: jax.Array, values: jax.Array) -> jax.Array:
    """Return x [P, N, ...] with values [P, n, ...] in the rows [P, n] that are in range."""
    return by_part(lambda x, rows, new: x.at[rows].set(new, mode="drop"), x, rows, values)
