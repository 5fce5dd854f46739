"""Linear-chain conditional random field: a score for every sequence of tags, not tag by tag.

    s(y) = start[y_1] + sum_t emissions[t, y_t] + sum_(t > 1) transitions[y_(t-1), y_t] + end[y_n]
    P(y given x) = exp s(y) / Z,   Z = sum over all y of exp s(y)

Source: Lafferty, McCallum and Pereira, "Conditional random fields", 2001; over a recurrent network:
Huang, Xu and Yu 2015.

Shapes: B rows, T steps, K tags. lengths int [B]: steps 0 .. length - 1 of a row are real, the rest
is padding, which may hold anything, NaN included, and changes neither values nor gradients. A row
of length 0 has score and log Z 0. Potentials are taken as float32, or wider where they are.

What is forbidden has the potential -inf, such as the transition O -> I:

    chain._replace(transitions=jnp.where(allowed, transitions, -jnp.inf))

It is counted as FORBIDDEN, a number so low that its exp is 0 beside any other: all values stay
finite, and the gradient by it is 0. Where every path is forbidden, the one through the fewest
forbidden potentials wins.
"""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from ..masking import valid_steps

FORBIDDEN = -1e30
NEAR = 60.0  # nats; exp(-NEAR) is far above the least float32


class Chain(NamedTuple):
    """Log potentials of the tags of a batch of sequences.

    emissions: float [B, T, K]. transitions: float [K, K], from tag j to tag k, or None: tags that
    are independent given the input, a softmax for each step; the same as zeros, and cheaper. start,
    end: float [K], of the first and the last tag, or None for zeros.
    """

    emissions: jax.Array
    transitions: jax.Array | None = None
    start: jax.Array | None = None
    end: jax.Array | None = None


class _Ready(NamedTuple):
    """emissions [B, T, K] with start and end added, 0 at padding; transitions; valid [B, T]."""

    emissions: jax.Array
    transitions: jax.Array | None
    valid: jax.Array


def _ready(chain: Chain, lengths) -> _Ready:
    """Check the shapes, clear the padding, and make -inf finite."""
    shape = jnp.shape(chain.emissions)
    if len(shape) != 3 or not shape[1]:
        raise ValueError(f"emissions must be [batch, time, tags], time 1 or more, got {shape}")
    tags = shape[2]
    for name, wanted in (("transitions", (tags, tags)), ("start", (tags,)), ("end", (tags,))):
        given = getattr(chain, name)
        if given is not None and jnp.shape(given) != wanted:
            raise ValueError(f"{name} must have shape {wanted}, got {jnp.shape(given)}")
    lengths = jnp.asarray(lengths)
    valid = cast(jax.Array, valid_steps(shape[:2], lengths))

    def real(potentials):
        potentials = jnp.asarray(potentials)
        return potentials.astype(jnp.promote_types(potentials.dtype, jnp.float32))

    emissions = jnp.where(valid[..., None], real(chain.emissions), 0)
    step = jnp.arange(shape[1])
    for ends, at in ((chain.start, step == 0), (chain.end, step == lengths[:, None] - 1)):
        if ends is not None:
            emissions += jnp.where((valid & at)[..., None], real(ends), 0)
    transitions = chain.transitions
    if transitions is not None:
        transitions = jnp.maximum(real(transitions), FORBIDDEN)
    return _Ready(jnp.maximum(emissions, FORBIDDEN), transitions, valid)


def _steps(ready: _Ready):
    """Emissions [T - 1, B, K] and valid [T - 1, B] of all steps but the first, for a scan."""
    return jnp.swapaxes(ready.emissions, 0, 1)[1:], ready.valid.T[1:]


def log_partition(chain: Chain, lengths):
    """log Z [B], by the forward algorithm.

    Raises ValueError for potentials or lengths whose shapes do not fit.
    """
    ready = _ready(chain, lengths)
    if ready.transitions is None:
        sums = jax.nn.logsumexp(ready.emissions, axis=-1)
        return jnp.where(ready.valid, sums, 0).sum(axis=1)
    highest = lax.stop_gradient(ready.transitions.max(axis=0))

    def by_sums(alpha, transitions):
        return jax.nn.logsumexp(alpha[:, :, None] + transitions, axis=1)

    def by_product(alpha, transitions):  # the same, K times fewer exp
        top = lax.stop_gradient(alpha.max(axis=1, keepdims=True))
        shares, factors = jnp.exp(alpha - top), jnp.exp(transitions - highest)
        return jnp.log(jnp.matmul(shares, factors, precision="highest")) + top + highest

    def run(into, ready):
        def step(alpha, given):
            emissions, valid = given
            new = into(alpha, ready.transitions) + emissions
            return jnp.where(valid[:, None], new, alpha), None

        return lax.scan(step, ready.emissions[:, 0], _steps(ready))[0]

    # alpha_t is spread over no more than this, by which every sum in the product is above exp(-it)
    spread = jnp.ptp(ready.emissions, axis=2).max() + jnp.ptp(ready.transitions, axis=1).max()
    exact = jax.checkpoint(partial(run, by_sums))  # keeps nothing where the product is taken
    alpha = lax.cond(spread < NEAR, partial(run, by_product), exact, ready)
    return jnp.where(ready.valid[:, 0], jax.nn.logsumexp(alpha, axis=1), 0)


def path_score(chain: Chain, tags, lengths):
    """s(tags) [B] of tags int [B, T].

    Raises ValueError for shapes or types that do not fit.
    """
    ready = _ready(chain, lengths)
    tags = jnp.asarray(tags)
    if tags.shape != ready.valid.shape or not jnp.issubdtype(tags.dtype, jnp.integer):
        raise ValueError(
            f"tags must be integers of shape {ready.valid.shape}, "
            f"got {tags.dtype} of shape {tags.shape}"
        )
    tags = jnp.where(ready.valid, tags, 0)
    score = jnp.take_along_axis(ready.emissions, tags[..., None], axis=2)[..., 0].sum(axis=1)
    if ready.transitions is not None:
        steps = ready.transitions[tags[:, :-1], tags[:, 1:]]
        score += jnp.where(ready.valid[:, 1:], steps, 0).sum(axis=1)
    return score


def log_prob(chain: Chain, tags, lengths):
    """log P(tags) [B] of tags int [B, T]; FORBIDDEN or less for what is forbidden."""
    return path_score(chain, tags, lengths) - log_partition(chain, lengths)


def marginals(chain: Chain, lengths):
    """P(y_t = k) [B, T, K], 0 at padding.

    The gradient of log Z by the emissions: reverse differentiation of the forward algorithm is the
    backward algorithm (Eisner 2016).
    """

    def total(emissions):
        return log_partition(chain._replace(emissions=emissions), lengths).sum()

    emissions = jnp.asarray(chain.emissions)
    return jax.grad(total)(emissions.astype(jnp.promote_types(emissions.dtype, jnp.float32)))


def viterbi(chain: Chain, lengths):
    """Return (tags int32 [B, T] of the best path, 0 at padding, and its score [B]).

    Of paths that are equally good, one. Source: Viterbi 1967.
    """
    ready = _ready(chain, lengths)
    if ready.transitions is None:
        tags = jnp.where(ready.valid, jnp.argmax(ready.emissions, axis=2), 0)
        return tags.astype(jnp.int32), ready.emissions.max(axis=2).sum(axis=1)
    steps, into = _steps(ready), ready.transitions.T  # from every tag into a tag, [K, K]

    def step(best, given):
        emissions, valid = given
        new = (best[:, :, None] + ready.transitions).max(axis=1) + emissions
        return jnp.where(valid[:, None], new, best), best

    best, before = lax.scan(step, ready.emissions[:, 0], steps)

    def back(tag, given):  # where a tag came from is asked of the best path alone
        before, valid = given
        came = jnp.argmax(before + into[tag], axis=1)
        return jnp.where(valid, came, tag), tag

    first, rest = lax.scan(back, jnp.argmax(best, axis=1), (before, steps[1]), reverse=True)
    tags = jnp.concatenate([first[None], rest]).T
    return jnp.where(ready.valid, tags, 0).astype(jnp.int32), best.max(axis=1)
