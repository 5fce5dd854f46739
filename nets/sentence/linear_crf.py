"""Linear-chain conditional random field: scores whole sequences of tags instead of single tags.

    s(y) = start[y_1] + sum_t emissions[t, y_t] + sum_(t > 1) transitions[y_(t-1), y_t] + end[y_n]
    P(y given x) = exp s(y) / Z,   Z = sum over all y of exp s(y)

Source: Lafferty, McCallum and Pereira, "Conditional random fields", 2001; on top of a recurrent
network: Huang, Xu and Yu 2015.

Shapes: B rows, T steps, K tags. lengths int [B]: steps 0 .. length - 1 of a row are valid; padding
values, even NaN, affect neither outputs nor gradients. A row of length 0 has score and log Z 0.
Potentials are converted to float32 unless they are wider.

To forbid a tag or a transition, such as O -> I, set its potential to -inf:

    chain._replace(transitions=jnp.where(allowed, transitions, -jnp.inf))

-inf is replaced by FORBIDDEN, whose exp vanishes next to any other: all values stay finite, and its
gradient is 0. Where all paths are forbidden, one with the fewest forbidden potentials wins.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from ..masking import is_concrete, valid_steps
from ..shapes import expand_to

FORBIDDEN = -1e30
MAX_SPREAD = 60.0  # nats; exp(-MAX_SPREAD) is far above the smallest float32


class Chain(NamedTuple):
    """Log potentials of the tags of a batch of sequences.

    emissions: float [B, T, K]. transitions: float [K, K], from tag j to tag k, or None, which means
    zeros: the tags are independent given the input, a cheaper softmax for each step. start, end:
    float [K], of the first and the last tag, or None for zeros.

    >>> chain = Chain(jnp.zeros((1, 3, 2)), transitions=jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    >>> tags, score = jax.jit(viterbi)(chain, jnp.array([3]))
    >>> float(score[0]), abs(int(tags[0, 1] - tags[0, 0]))
    (2.0, 1)
    """

    emissions: jax.Array
    transitions: jax.Array | None = None
    start: jax.Array | None = None
    end: jax.Array | None = None


class Potentials(NamedTuple):
    """emissions [B, T, K] with start and end added, 0 at padding; transitions; valid [B, T]."""

    emissions: jax.Array
    transitions: jax.Array | None
    valid: jax.Array


def prepare(chain: Chain, lengths: ArrayLike) -> Potentials:
    """Check the shapes, set the padding to zero, and replace -inf by FORBIDDEN."""
    shape = jnp.shape(chain.emissions)
    if len(shape) != 3 or not shape[1]:
        raise ValueError(f"emissions must be [batch, time, tags], time 1 or more, got {shape}")
    tags = shape[2]
    for name, expected in (("transitions", (tags, tags)), ("start", (tags,)), ("end", (tags,))):
        potentials = getattr(chain, name)
        if potentials is not None and jnp.shape(potentials) != expected:
            raise ValueError(f"{name} must have shape {expected}, got {jnp.shape(potentials)}")
    lengths = jnp.asarray(lengths)
    valid = cast(jax.Array, valid_steps(shape[:2], lengths))

    def wide(potentials: ArrayLike) -> jax.Array:
        potentials = jnp.asarray(potentials)
        return potentials.astype(jnp.promote_types(potentials.dtype, jnp.float32))

    emissions = jnp.where(valid[..., None], wide(chain.emissions), 0)
    step = jnp.arange(shape[1], dtype=lengths.dtype)[None]
    for ends, at in ((chain.start, step == 0), (chain.end, step == lengths[:, None] - 1)):
        if ends is not None:
            emissions += jnp.where((valid & at)[..., None], expand_to(wide(ends), emissions), 0)
    transitions = chain.transitions
    if transitions is not None:
        transitions = jnp.maximum(wide(transitions), FORBIDDEN)
    return Potentials(jnp.maximum(emissions, FORBIDDEN), transitions, valid)


def later_steps(potentials: Potentials) -> tuple[jax.Array, jax.Array]:
    """Return emissions [T - 1, B, K] and valid [T - 1, B] of all steps but the first, to scan."""
    return jnp.swapaxes(potentials.emissions, 0, 1)[1:], potentials.valid.T[1:]


def log_partition(chain: Chain, lengths: ArrayLike) -> jax.Array:
    """Return log Z [B], by the forward algorithm.

    Raises ValueError for potentials or lengths whose shapes do not match.
    """
    potentials = prepare(chain, lengths)
    if potentials.transitions is None:
        sums = jax.nn.logsumexp(potentials.emissions, axis=-1)
        return jnp.where(potentials.valid, sums, 0).sum(axis=1)
    highest = lax.stop_gradient(potentials.transitions.max(axis=0))

    def by_sums(alpha: jax.Array, transitions: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(alpha[:, :, None] + transitions[None], axis=1)

    def by_product(alpha: jax.Array, transitions: jax.Array) -> jax.Array:  # K times fewer exp
        top = lax.stop_gradient(alpha.max(axis=1, keepdims=True))
        probabilities, factors = jnp.exp(alpha - top), jnp.exp(transitions - highest[None])
        sums = jnp.matmul(probabilities, factors, precision="highest")
        return jnp.log(sums) + top + highest[None]

    def run(advance: Callable[..., jax.Array], potentials: Potentials) -> jax.Array:
        def step(alpha: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            emissions, valid = inputs
            new = advance(alpha, potentials.transitions) + emissions
            return jnp.where(valid[:, None], new, alpha), None

        return lax.scan(step, potentials.emissions[:, 0], later_steps(potentials))[0]

    # bounds the spread of alpha_t, so that every sum in the product is above exp(-spread)
    spread = jnp.ptp(potentials.emissions, axis=2).max(initial=0)
    spread += jnp.ptp(potentials.transitions, axis=1).max()
    exact = jax.checkpoint(partial(run, by_sums))  # stores nothing when the product is taken
    alpha = lax.cond(spread < MAX_SPREAD, partial(run, by_product), exact, potentials)
    return jnp.where(potentials.valid[:, 0], jax.nn.logsumexp(alpha, axis=1), 0)


def path_score(chain: Chain, tags: ArrayLike, lengths: ArrayLike) -> jax.Array:
    """Return s(tags) [B] of tags int [B, T].

    Raises ValueError for shapes or types that do not match and, outside of jit, for values that are
    no tag.
    """
    potentials = prepare(chain, lengths)
    tags = jnp.asarray(tags)
    if tags.shape != potentials.valid.shape or not jnp.issubdtype(tags.dtype, jnp.integer):
        raise ValueError(
            f"tags must be integers of shape {potentials.valid.shape}, "
            f"got {tags.dtype} of shape {tags.shape}"
        )
    if is_concrete(tags, potentials.valid):
        known = np.asarray(tags)[np.asarray(potentials.valid)]
        count = potentials.emissions.shape[2]
        if known.size and not 0 <= known.min() <= known.max() < count:
            raise ValueError(f"tags must be from 0 to {count - 1}, got {np.unique(known).tolist()}")
    tags = jnp.where(potentials.valid, tags, 0)
    score = jnp.take_along_axis(potentials.emissions, tags[..., None], axis=2)[..., 0].sum(axis=1)
    if potentials.transitions is not None:
        steps = potentials.transitions[tags[:, :-1], tags[:, 1:]]
        score += jnp.where(potentials.valid[:, 1:], steps, 0).sum(axis=1)
    return score


def log_prob(chain: Chain, tags: ArrayLike, lengths: ArrayLike) -> jax.Array:
    """Return log P(tags) [B] of tags int [B, T]; FORBIDDEN or less for a forbidden path."""
    return path_score(chain, tags, lengths) - log_partition(chain, lengths)


def marginals(chain: Chain, lengths: ArrayLike) -> jax.Array:
    """Return P(y_t = k) [B, T, K], 0 at padding.

    This is the gradient of log Z with respect to the emissions: reverse-mode differentiation of the
    forward algorithm is the backward algorithm (Eisner 2016).
    """

    def total(emissions: jax.Array) -> jax.Array:
        return log_partition(chain._replace(emissions=emissions), lengths).sum()

    emissions = jnp.asarray(chain.emissions)
    return jax.grad(total)(emissions.astype(jnp.promote_types(emissions.dtype, jnp.float32)))


def viterbi(chain: Chain, lengths: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return (tags int32 [B, T] of the best path, 0 at padding, and its score [B]).

    Ties are broken arbitrarily. Source: Viterbi 1967.
    """
    potentials = prepare(chain, lengths)
    if potentials.transitions is None:
        tags = jnp.where(potentials.valid, jnp.argmax(potentials.emissions, axis=2), 0)
        return tags.astype(jnp.int32), potentials.emissions.max(axis=2).sum(axis=1)
    transitions, steps = potentials.transitions, later_steps(potentials)
    into = transitions.T  # [K, K], from every tag into a tag

    def step(best: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        emissions, valid = inputs
        new = (best[:, :, None] + transitions[None]).max(axis=1) + emissions
        return jnp.where(valid[:, None], new, best), best

    best, previous = lax.scan(step, potentials.emissions[:, 0], steps)

    # the predecessor of a tag is computed on the best path only
    def trace(tag: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        before, valid = inputs
        predecessor = jnp.argmax(before + into[tag], axis=1)
        return jnp.where(valid, predecessor, tag), tag

    first, rest = lax.scan(trace, jnp.argmax(best, axis=1), (previous, steps[1]), reverse=True)
    tags = jnp.concatenate([first[None], rest]).T
    return jnp.where(potentials.valid, tags, 0).astype(jnp.int32), best.max(axis=1)
