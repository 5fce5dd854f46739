"""Several paths of a linear-chain random field: the k best, and samples.

Shapes, conventions and the treatment of padding and forbidden potentials are those of
`nets.sentence.linear_crf`.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from ..shapes import flatten_from
from .linear_crf import Chain, later_steps, prepare


def k_best(chain: Chain, lengths: ArrayLike, count: int) -> tuple[jax.Array, jax.Array]:
    """Return (tags int32 [B, count, T], 0 at padding, and scores [B, count]), best first.

    Where a row has fewer than `count` paths, the remaining scores are -inf and their tags 0. The
    first path is that of `viterbi`, up to ties. Raises ValueError for count below 1 and for shapes
    that do not match.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    potentials = prepare(chain, lengths)
    rows, _, tags = potentials.emissions.shape
    transitions = potentials.transitions
    if transitions is None:
        transitions = jnp.zeros((tags, tags), potentials.emissions.dtype)

    def step(best: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """best: [B, K, count], the best paths to each tag. Also return where they came from."""
        emissions, valid = inputs
        ways = best[:, :, None] + transitions[None, :, :, None]  # [B, K, K, count]
        ways = flatten_from(jnp.swapaxes(ways, 1, 2), 2)
        found, origin = lax.top_k(ways, count)
        found = found + emissions[..., None]
        stay = jnp.broadcast_to(
            jnp.arange(tags * count, dtype=origin.dtype).reshape(1, tags, count), origin.shape
        )
        valid = valid[:, None, None]
        return jnp.where(valid, found, best), jnp.where(valid, origin, stay)

    first = jnp.full((rows, tags, count), -jnp.inf, potentials.emissions.dtype)
    first = first.at[..., 0].set(potentials.emissions[:, 0])
    # a row without steps has one path, the empty one
    empty = jnp.zeros_like(first).at[:, 1:].set(-jnp.inf).at[..., 1:].set(-jnp.inf)
    first = jnp.where(potentials.valid[:, :1, None], first, empty)
    best, origins = lax.scan(step, first, later_steps(potentials))
    scores, place = lax.top_k(flatten_from(best, 1), count)

    def back(place: jax.Array, origin: jax.Array) -> tuple[jax.Array, jax.Array]:
        """place: [B, count], index of a tag and a rank."""
        return jnp.take_along_axis(flatten_from(origin, 1), place, axis=1), place

    start, rest = lax.scan(back, place, origins, reverse=True)
    found = jnp.moveaxis(jnp.concatenate([start[None], rest]), 0, 2) // count
    real = potentials.valid[:, None] & (scores > -jnp.inf)[..., None]
    return jnp.where(real, found, 0).astype(jnp.int32), scores


def sample_tags(chain: Chain, lengths: ArrayLike, key: jax.Array) -> jax.Array:
    """Return tags int32 [B, T], 0 at padding, drawn from P(tags).

    The forward algorithm gives the distribution of the last tag, and then of each tag given the
    one after it. Use `jax.vmap` over keys for several samples.
    """
    potentials = prepare(chain, lengths)
    last_key, key = jax.random.split(key)
    if potentials.transitions is None:
        drawn = jax.random.categorical(key, potentials.emissions)
        return jnp.where(potentials.valid, drawn, 0).astype(jnp.int32)
    transitions = potentials.transitions

    def step(alpha: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        emissions, valid = inputs
        new = jax.nn.logsumexp(alpha[:, :, None] + transitions[None], axis=1) + emissions
        return jnp.where(valid[:, None], new, alpha), alpha

    steps = later_steps(potentials)
    alpha, before = lax.scan(step, potentials.emissions[:, 0], steps)
    into = transitions.T  # [K, K], from every tag into a tag

    def back(tag: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        alpha, valid, key = inputs
        drawn = jax.random.categorical(key, alpha + into[tag])
        return jnp.where(valid, drawn, tag), tag

    last = jax.random.categorical(last_key, alpha)
    keys = jax.random.split(key, before.shape[0])
    first, rest = lax.scan(back, last, (before, steps[1], keys), reverse=True)
    tags = jnp.concatenate([first[None], rest]).T
    return jnp.where(potentials.valid, tags, 0).astype(jnp.int32)
