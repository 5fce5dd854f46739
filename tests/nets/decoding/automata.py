"""Random automata as models, and slow searches in numpy as references for decoding."""

import dataclasses
import itertools
from collections import Counter
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from nets.decoding.beam import beam_search
from nets.decoding.constraints import Limits
from nets.decoding.scores import Score
from nets.decoding.step_model import StepModel

OF_SCORE, OF_LIMITS = (
    {field.name for field in dataclasses.fields(kind)} for kind in (Score, Limits)
)
STATES, V, STEPS, SOURCE = 23, 3, 12, 4
EOS = 2

seeds = st.integers(0, 10_000)
# options of a search for each kind of length normalisation
lengths = st.one_of(
    st.just({"normalize": "none"}),
    st.just({"normalize": "average"}),
    *(
        st.builds(
            lambda alpha, name=name: {"normalize": name, "length_penalty": alpha},
            st.floats(-2, 3, width=16),
        )
        for name in ("power", "gnmt")
    ),
)


def automaton(seed, vocabulary=V, spread=2.0):
    """Logits of a state at a step, the state after a token, and attention keys of a state."""
    random = np.random.default_rng(seed)
    return {
        "logits": random.normal(0, spread, (STEPS, STATES, vocabulary)).astype(np.float32),
        "following": random.integers(0, STATES, (STATES, vocabulary)).astype(np.int32),
        "keys": random.normal(0, 2, (STATES, SOURCE)).astype(np.float32),
    }


def starts(seed, rows):
    """Initial carry: state and step of each row."""
    states = np.random.default_rng(seed + 1).integers(0, STATES, rows)
    return states.astype(np.int32), np.zeros(rows, np.int32)


def plain(model, tokens, carry):
    """Step function: logits of the next token."""
    state, step = carry
    state = model["following"][state, tokens]
    return model["logits"][step, state], (state, step + 1)


def attending(model, tokens, carry, valid=None):
    """Step function that also returns attention; valid: bool [B, S], the memory."""
    logits, (state, step) = plain(model, tokens, carry)
    keys = model["keys"][state]
    if valid is not None:
        valid = jnp.repeat(valid, len(state) // len(valid), axis=0)
        keys = jnp.where(valid, keys[:, : valid.shape[1]], -jnp.inf)
    return logits, (state, step), jax.nn.softmax(keys)


def run(search, step_fn, model, carry, *, bos_id=1, eos_id=EOS, memory=None, **options):
    """Search with the options of the score, the limits and the search in one dictionary."""
    score, limits = (
        {name: options.pop(name) for name in names & set(options)}
        for names in (OF_SCORE, OF_LIMITS)
    )
    given = StepModel(step_fn, model, carry, bos_id, eos_id, memory)
    return search(given, score=Score(**score), limits=Limits(**limits), **options)


def search(*arguments, **options):
    """Result of a beam search in numpy, so that slices of it are not compiled."""
    return jax.device_get(run(beam_search, *arguments, **options))


def softmax(logits):
    """Softmax in double precision."""
    odds = np.exp(np.float64(logits) - logits.max())
    return odds / odds.sum()


def walk(model, state, bos, tokens):
    """Log p and attention [S] of each token of a hypothesis."""
    log_probs, attention = [], []
    for step, (last, token) in enumerate(itertools.pairwise([bos, *tokens])):
        state = model["following"][state, last]
        log_probs.append(np.log(softmax(model["logits"][step, state])[token]))
        attention.append(softmax(model["keys"][state]))
    return np.array(log_probs), np.array(attention)


def divisor(normalize, alpha, length):
    """Length penalty of a hypothesis."""
    penalties = {"none": 1, "average": length, "power": float(length) ** alpha}
    return (penalties | {"gnmt": ((5 + length) / 6) ** alpha})[normalize]


def score(model, state, bos, tokens, *, normalize="gnmt", length_penalty=0, coverage_penalty=0):
    """Score of a hypothesis, by its definition."""
    log_probs, attention = walk(model, state, bos, tokens)
    coverage = np.log(np.minimum(attention.sum(axis=0), 1)).sum()
    lengths = divisor(normalize, length_penalty, len(tokens))
    return log_probs.sum() / lengths + coverage_penalty * coverage


def as_phrases(required):
    """Required tokens and phrases as tuples; -1 is an unused slot."""
    phrases = [(int(entry),) if np.ndim(entry) == 0 else tuple(entry) for entry in required]
    return tuple(phrase for phrase in phrases if phrase != (-1,))


def occurrences(tokens, phrase):
    """How often a hypothesis contains a phrase."""
    length = len(phrase)
    return sum(tokens[i : i + length] == phrase for i in range(len(tokens) - length + 1))


def lacking(tokens, required):
    """Number of required tokens and phrases that a hypothesis misses."""
    counts = Counter(as_phrases(required))
    return sum(max(n - occurrences(tokens, phrase), 0) for phrase, n in counts.items())


@cache
def needed(tokens, required, banned_phrases, vocabulary):
    """Fewest further tokens until a hypothesis misses nothing, by trying all of them."""
    if not banned_phrases and all(len(phrase) == 1 for phrase in required):
        return lacking(tokens, required)
    others = [token for token in range(vocabulary) if token != EOS]
    for count in range(8):
        for more in itertools.product(others, repeat=count):
            banned = any(
                (*tokens, *more[:n])[-len(phrase) :] == phrase
                for n in range(1, count + 1)
                for phrase in banned_phrases
            )
            if not banned and lacking((*tokens, *more), required) == 0:
                return count
    raise AssertionError("no hypothesis of this test needs as many tokens")


def stages(tokens, required):
    """Stages that are left: 1 for each missing token, 2 for each phrase, one less within it."""
    count = begun = 0
    for phrase, n in Counter(as_phrases(required)).items():
        lack = max(n - occurrences(tokens, phrase), 0)
        count += lack * (1 + (len(phrase) > 1))
        within = any(tokens[-i:] == phrase[:i] for i in range(1, len(phrase)))
        begun |= lack > 0 and within
    return count - begun


def allowed(
    tokens,
    most,
    *,
    vocabulary=V,
    banned=(),
    banned_phrases=(),
    min_length=0,
    no_repeat_ngram=0,
    prefix=(),
    required=(),
):
    """Whether a hypothesis of at most `most` tokens satisfies the constraints, or still can."""
    missing, room = lacking(tokens, required), 0 if tokens[-1] == EOS else most - len(tokens)
    if 0 < missing <= room:
        missing = needed(tokens, as_phrases(required), tuple(banned_phrases), vocabulary)
    if missing > room:
        return False
    for position, token in enumerate(tokens):
        if position < len(prefix) and prefix[position] >= 0:
            if token != prefix[position]:
                return False
            continue
        n = no_repeat_ngram
        ends = range(n, position + 2) if n else ()
        grams = [tuple(tokens[end - n : end]) for end in ends]
        repeats = grams and grams[-1] in grams[:-1]
        early = token == EOS and position + 1 < min_length
        written = tuple(tokens[: position + 1])
        spelled = any(written[-len(phrase) :] == phrase for phrase in banned_phrases)
        if token in banned or spelled or repeats or early:
            return False
    return True


def enumerate_all(vocabulary, max_length):
    """All hypotheses: those that end, and those of max_length tokens."""
    others = [token for token in range(vocabulary) if token != EOS]
    for length in range(1, max_length + 1):
        last = range(vocabulary) if length == max_length else [EOS]
        yield from itertools.product(*[others] * (length - 1), last)


def best_of_all(model, state, bos, max_length, limits, **scoring):
    """All allowed hypotheses with a positive probability, best first: (score, tokens)."""
    vocabulary = model["logits"].shape[2]
    every = enumerate_all(vocabulary, max_length)
    every = [t for t in every if allowed(t, max_length, vocabulary=vocabulary, **limits)]
    return sorted(((score(model, state, bos, t, **scoring), t) for t in every), reverse=True)


def allocate_beams(extended, width, required):
    """The hypotheses that get one of `width` beams, shared evenly by number of stages."""
    most = stages((), required)
    banks = {tokens: stages(tokens, required) for _, tokens in extended}
    chosen = set()
    for number in range(most + 1):
        alike = [tokens for _, tokens in extended if banks[tokens] == number]
        chosen.update(alike[: width // (most + 1) + (number < width % (most + 1))])
    rest = [tokens for _, tokens in extended if tokens not in chosen]
    chosen.update(rest[: width - len(chosen)])
    return [(value, tokens) for value, tokens in extended if tokens in chosen]


def slow_beam_search(
    model,
    state,
    bos,
    max_length,
    limits,
    *,
    beam_size,
    groups=1,
    diversity=0.0,
    all_ends=True,
    **scoring,
):
    """Beam search with plain lists: (score, tokens), best first.

    all_ends: with more than one beam, every open hypothesis may end; else only among the best.
    """
    width, vocabulary = beam_size // groups, model["logits"].shape[2]
    beams, pools = [[(0.0, ())] for _ in range(groups)], [[] for _ in range(groups)]
    rule = scoring.get("normalize", "gnmt"), scoring.get("length_penalty", 0)
    required = limits.get("required", ())
    for length in range(1, max_length + 1):
        counts = np.zeros(vocabulary)
        for group in range(groups):
            extended = [
                (walk(model, state, bos, (*tokens, v))[0].sum(), (*tokens, v))
                for _, tokens in beams[group]
                for v in range(vocabulary)
                if allowed((*tokens, v), max_length, vocabulary=vocabulary, **limits)
            ]
            extended.sort(key=lambda h: h[0] - diversity * counts[h[1][-1]], reverse=True)
            own = all_ends and beam_size > 1
            best = extended if own else allocate_beams(extended, width, required)
            ended = [t for _, t in best if t[-1] == EOS]
            going = [h for h in extended if h[1][-1] != EOS]
            beams[group] = allocate_beams(going, width, required)
            for _, tokens in beams[group]:
                counts[tokens[-1]] += 1
            if length == max_length:
                ended += [tokens for _, tokens in beams[group]]
            pools[group] += [(score(model, state, bos, t, **scoring), t) for t in ended]
            pools[group] = sorted(pools[group], reverse=True)[:width]
        # when a group stops matters only with several groups, through their diversity penalty
        later = [divisor(*rule, m) for m in range(length + 1, max_length + 1)]
        for group in range(groups if groups > 1 and later else 0):
            bounds = [total / max(later) for total, _ in beams[group]]
            if len(pools[group]) == width and max(bounds, default=-np.inf) <= pools[group][-1][0]:
                beams[group] = []
    return sorted(itertools.chain(*pools), reverse=True)
