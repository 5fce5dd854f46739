"""Scan over chunks of steps, to save memory or to truncate the gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..shapes import is_static
from .scan import Steps

Run = Callable[[Any, Steps], tuple[Any, jax.Array]]


def scan_chunks(
    run: Run, carry: Any, steps: Steps, size: int, *, reverse: bool, remat: bool, truncate: bool
) -> tuple[Any, jax.Array]:
    """Scan over chunks of `size` steps, the last one filled up with padding.

    run(carry, steps) processes a chunk. remat: keep only the carries between chunks and recompute
    the rest for the gradient. truncate: stop the gradient of the carry between chunks.
    """
    time = steps.x.shape[0]
    chunks = -(-time // size)
    missing = chunks * size - time
    if not is_static(missing) or missing:
        valid = jnp.ones(steps.x.shape[:2], bool) if steps.valid is None else steps.valid
        steps = steps._replace(valid=valid)

    def split(leaf: jax.Array) -> jax.Array:
        if not is_static(missing) or missing:
            filling = jnp.broadcast_to(leaf[-1:], (missing, *leaf.shape[1:]))
            if leaf.dtype == bool:
                filling = jnp.zeros_like(filling)
            leaf = jnp.concatenate([leaf, filling])
        return leaf.reshape(chunks, size, *leaf.shape[1:])

    def chunk(carry: Any, inputs: tuple[jax.Array, Steps]) -> tuple[Any, jax.Array]:
        first, steps = inputs
        if truncate:  # the initial carry precedes all steps and keeps its gradient
            stopped = lax.stop_gradient(carry)
            carry = jax.tree.map(lambda a, b: jnp.where(first, a, b), carry, stopped)
        return run(carry, steps)

    first = jnp.zeros(chunks, bool).at[-1 if reverse else 0].set(True)
    body = jax.checkpoint(chunk) if remat else chunk
    inputs = (first, jax.tree.map(split, steps))
    carry, outputs = lax.scan(body, carry, inputs, reverse=reverse)
    return carry, outputs.reshape(chunks * size, *outputs.shape[2:])[:time]
