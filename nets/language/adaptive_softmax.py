"""Adaptive softmax: frequent words in a head, the others in clusters of smaller width.

Source: Grave, Joulin, Cissé, Grangier and Jégou 2017, "Efficient softmax approximation for GPUs".
"""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

PARTS = (
    8  # of all rows, that a cluster takes at a time: few are computed in vain, products stay large
)


class AdaptiveSoftmax(nn.Module):
    """P(w) = head(w) for w below the first cut-off, else head(cluster of w) tail(w in its cluster).

    head = softmax(W h + b) over the frequent words and one id more for each cluster; the tail of
    cluster i, from 0, is softmax(W_i P_i h + b_i), P_i to 1 / factor^(i+1) of the features of h.

    vocabulary: words V; the id of a word is its rank by frequency. cutoffs: the id with which each
    cluster begins, increasing, below V. Without any this is the softmax of a Dense layer, its
    parameters by the same names. dtype: that of the products.
    Raises ValueError for other cut-offs.
    """

    vocabulary: int
    cutoffs: tuple[int, ...] = ()
    factor: int = 4
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, targets=None):
        """Log P float32 [..., V] for x [..., D]; with targets int32 [...], theirs alone [...].

        For targets, rows of x whose target is in no cluster cost the head alone, and the others the
        tail of their own cluster. How many these are may differ from call to call.
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
            "kernel": self.param("kernel", self.kernel_init, (features, ids)),
            "bias": self.param("bias", zeros, (ids,)),
        }
        tails = []
        for i, size in enumerate(b - a for a, b in pairwise(bounds[1:])):
            width = max(1, features // self.factor ** (i + 1))
            shapes = {"projection": (features, width), "kernel": (width, size)}
            own = {
                name: self.param(f"{name}_{i}", self.kernel_init, shape)
                for name, shape in shapes.items()
            }
            tails.append({**own, "bias": self.param(f"bias_{i}", zeros, (size,))})
        logs = _log_softmax(head, x, self.dtype)
        if targets is None:
            parts = [
                logs[..., first + i, None] + _log_softmax(tail, x, self.dtype)
                for i, tail in enumerate(tails)
            ]
            return jnp.concatenate([logs[..., :first], *parts], axis=-1)
        cluster = jnp.searchsorted(jnp.array(self.cutoffs, jnp.int32), targets, side="right")
        in_head = jnp.where(cluster > 0, first + cluster - 1, targets)
        found = jnp.take_along_axis(logs, in_head[..., None], axis=-1)[..., 0]
        rows, cluster = x.reshape(-1, features), cluster.ravel()
        for i, tail in enumerate(tails):
            within = targets.ravel() - self.cutoffs[i]
            own = _of_chosen(self.dtype, tail, rows, within, cluster == i + 1)
            found += own.reshape(targets.shape)
        return found


def _log_softmax(weights, x, dtype):
    """Log-probabilities float32 [..., n] of one softmax."""
    weights = jax.tree.map(lambda leaf: leaf.astype(dtype), weights)
    x = x.astype(dtype)
    if "projection" in weights:
        x = x @ weights["projection"]
    return jax.nn.log_softmax((x @ weights["kernel"] + weights["bias"]).astype(jnp.float32))


def _of_targets(dtype, weights, x, targets):
    logs = _log_softmax(weights, x, dtype)
    return jnp.take_along_axis(logs, targets[:, None], axis=1)[:, 0]


# A program has static shapes, but not the number of rows that a cluster has. So its rows are taken
# a part of a fixed size at a time, in a loop that ends where they do. Such a loop has no derivative
# of its own: the gradient loops as well, over parts that it computes anew.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _of_chosen(dtype, weights, x, targets, chosen):
    """Log P float32 [N] of targets int32 [N] where `chosen` [N], 0 elsewhere, for x [N, D]."""
    parts, rows_of = _parts(chosen)

    def add(part, found):
        rows = rows_of(part)
        logs = _of_targets(dtype, weights, _rows(x, rows), _rows(targets, rows))
        return found.at[rows].set(logs, mode="drop")

    return jax.lax.fori_loop(0, parts, add, jnp.zeros(len(x)))


def _forward(dtype, weights, x, targets, chosen):
    return _of_chosen(dtype, weights, x, targets, chosen), (weights, x, targets, chosen)


def _backward(dtype, saved, gradient):
    weights, x, targets, chosen = saved
    parts, rows_of = _parts(chosen)

    def add(part, sums):
        rows = rows_of(part)
        run = partial(_of_targets, dtype, targets=_rows(targets, rows))
        _, pull = jax.vjp(run, weights, _rows(x, rows))
        of_weights, of_x = pull(_rows(gradient, rows))
        return jax.tree.map(jnp.add, sums[0], of_weights), sums[1].at[rows].set(of_x, mode="drop")

    zeros = jax.tree.map(jnp.zeros_like, (weights, x))
    return (*jax.lax.fori_loop(0, parts, add, zeros), None, None)


_of_chosen.defvjp(_forward, _backward)


def _parts(chosen):
    """Count the parts of the rows that are chosen; part -> their places int32, beyond N: none."""
    count = len(chosen)
    size = -(-count // PARTS)
    (order,) = jnp.nonzero(chosen, size=size * PARTS, fill_value=count)
    parts = -(-chosen.sum() // size)
    return parts, lambda part: jax.lax.dynamic_slice(order, (part * size,), (size,))


def _rows(x, rows):
    return jnp.asarray(x).at[rows].get(mode="fill", fill_value=0)
