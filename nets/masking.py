"""What is real in a padded batch, and whether what is given fits."""

import jax
import jax.numpy as jnp
import numpy as np


def valid_steps(shape: tuple[int, ...], lengths=None, mask=None) -> jax.Array | None:
    """Bool [..., T], true where a step is real; None when all are. `shape` is [..., T].

    Raises ValueError when lengths or mask do not fit the shape.
    """
    valid = None
    if lengths is not None:
        lengths = jnp.asarray(lengths)
        if lengths.shape != shape[:-1] or not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ValueError(
                f"lengths must be integers of shape {shape[:-1]}, "
                f"got {lengths.dtype} of shape {lengths.shape}"
            )
        if not isinstance(lengths, jax.core.Tracer):
            known = np.asarray(lengths)
            if known.size and (known.min() < 0 or known.max() > shape[-1]):
                raise ValueError(f"lengths must be from 0 to {shape[-1]}, got {known.tolist()}")
        valid = jnp.arange(shape[-1]) < lengths[..., None]
    if mask is not None:
        if jnp.shape(mask) != shape:
            raise ValueError(f"mask must have shape {shape}, got {jnp.shape(mask)}")
        real = jnp.asarray(mask) != 0
        valid = real if valid is None else valid & real
    return valid


def check_carry(wanted, given) -> None:
    """Raise ValueError when a carry has another structure, shape or dtype than the cell's own."""
    forms = [
        jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)
        for tree in (wanted, jax.tree.map(jnp.asarray, given))
    ]
    # lists of shapes compare equal where a NamedTuple stands against a plain tuple
    same_kind = str(jax.tree.structure(wanted)) == str(jax.tree.structure(given))
    if forms[0] != forms[1] or not same_kind:
        raise ValueError(f"initial_carry must be {forms[0]}, got {forms[1]}")


def masked_softmax(scores, valid):
    """exp(scores) over its sum along the last axis, where valid; zeros elsewhere.

    A row without anything valid is zero, and what stands at invalid places, NaN included, changes
    neither values nor gradients.
    """
    scores = jnp.where(valid, scores, 0)
    highest = jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf, where=valid)
    highest = jnp.where(jnp.isfinite(highest), highest, 0)
    weights = jnp.where(valid, jnp.exp(scores - jax.lax.stop_gradient(highest)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)


def only_valid(x, lengths, other=0.0):
    """x [B, T, C] with `other` in every step after the end of its row; lengths int [B] or None."""
    valid = valid_steps(x.shape[:2], lengths)
    return x if valid is None else jnp.where(valid[..., None], x, other)
