"""Required and banned phrases: an automaton that reads a hypothesis token by token.

The state is the longest end of the hypothesis with which some phrase begins, as in Aho and
Corasick, "Efficient String Matching", 1975, and how often the hypothesis contains each required
phrase. A table has, for every position and state, the fewest required phrases that any continuation
leaves out, within the limits of the row: its maximum length, prefix, banned tokens and phrases, and
minimum length. A token may follow only if it keeps this number. So every hypothesis contains all
required phrases, however few beams there are, and no hypothesis that could contain them is lost.
Phrases may overlap in a hypothesis: "a b c" contains "a b" and "b c".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..masking import is_concrete
from .required import promote
from .values import check_tokens

MOST_COMBINATIONS = 256  # of required phrases that a hypothesis contains; the tables grow with it
NEVER = 2**15  # number of tokens that reach no state

Phrase = tuple[int, ...]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("tokens", "following", "blocked", "missing", "fewest", "stages"),
    meta_fields=("banks",),
)
@dataclass(frozen=True, eq=False)
class PhraseAutomaton:
    """The automaton of each row, with S states and C tokens; state 0 is that of no token.

    tokens: int32 [B, C], the tokens of the phrases, -1 in unused entries. following: int32
    [B, S, 1 + C], the state after any other token, and after each of these. blocked: bool
    [B, S, 1 + C], true where a banned phrase would be complete. missing: int [B, S], the number of
    required phrases that a hypothesis lacks. fewest: int [B, L + 1, S], the fewest that it lacks at
    its end, if it has this state after 0 to L tokens. stages: int [B, S], the stages that are left
    until it lacks none: one for each missing token, two for each longer phrase, and one less while
    it is within such a phrase. banks: 1 + the most stages, a static value. The state of a
    hypothesis is int32 [].
    """

    tokens: Array
    following: Array
    blocked: Array
    missing: Array
    fewest: Array
    stages: Array
    banks: int

    @property
    def row_banks(self) -> Array:
        """Number of banks of each row, [B, 1]."""
        return 1 + self.stages[:, :1]

    def initial(self, beams: int) -> Array:
        """State [B, K] without any token."""
        return jnp.zeros((len(self.tokens), beams), jnp.int32)

    def advance(self, state: Any, tokens: Any) -> Any:
        """State after `tokens` [B, K]; all arrays are those of jax, or all those of numpy."""
        same = self.tokens[:, None] == tokens[..., None]
        column = (1 + same.argmax(axis=-1)) * same.any(axis=-1)
        return self.following[np.arange(len(state))[:, None], state, column]

    def needed(self, state: Array) -> Array:
        """Bank of each hypothesis [B, K]: the number of stages that are left."""
        return jnp.take_along_axis(self.stages, state, axis=1)

    def promote(self, values: Array, state: Array) -> Array:
        """Set values [B, K, V] to infinity at all tokens that lead to another bank."""
        chosen = jnp.broadcast_to(self.tokens[:, None] >= 0, (*state.shape, self.tokens.shape[-1]))
        return promote(values, self.tokens, chosen)

    def mask(self, logits: Array, state: Array, step: int | Array, eos_id: int) -> Array:
        """Set logits [B, K, V] to -inf where a phrase would be banned, or no longer fit."""
        row = jnp.arange(len(state))[:, None]
        fewest = self.fewest[row, step, state]
        later = self.fewest[row[..., None], step + 1, self.following[row, state]]
        may_follow = (later == fewest[..., None]) & ~self.blocked[row, state]
        masked = jnp.where(may_follow[..., :1], logits, -jnp.inf)
        # the entries -1 are dropped
        columns = jnp.where(self.tokens < 0, logits.shape[-1], self.tokens)
        at = (row[..., None], jnp.arange(state.shape[1])[:, None], columns[:, None])
        own = jnp.where(may_follow[..., 1:], logits[at], -jnp.inf)
        masked = masked.at[at].set(own, mode="drop")
        may_end = self.missing[row, state] == fewest
        return masked.at[..., eos_id].set(jnp.where(may_end, logits[..., eos_id], -jnp.inf))


class Automaton(NamedTuple):
    """The automaton of one row; see PhraseAutomaton."""

    tokens: list[int]
    following: np.ndarray
    blocked: np.ndarray
    missing: np.ndarray
    stages: np.ndarray


class RowLimits(NamedTuple):
    """What else limits a row of `length` tokens.

    forced: int [length], the prefix, -1 where it is free. usable: bool [1 + C], whether any other
    token is not banned, and which of the automaton's are not. earliest_end: the first position of
    the end.
    """

    length: int
    forced: np.ndarray
    usable: np.ndarray
    earliest_end: float


def parse_phrases(name: str, phrases: Any, rows: int, vocabulary: int, eos_id: int) -> list[Any]:
    """Phrases of each row as tuples of tokens, from sequences [R, P] or [B, R, P].

    They may be ragged, and -1 is padding. Raises ValueError for values that are traced, tokens that
    are not in the vocabulary, or the end.
    """
    if not is_concrete(phrases):
        raise ValueError(f"{name} must have values when the search is compiled, got a tracer")

    def plain(values: Any) -> Any:
        if isinstance(values, Sequence):
            return [plain(value) for value in values]
        return np.asarray(values).tolist()

    nested = plain(phrases)
    if not isinstance(nested, list) or not all(isinstance(entry, list) for entry in nested):
        raise ValueError(f"{name} is {phrases}; it must be a sequence of phrases, not of tokens")
    by_row = any(isinstance(item, list) for entry in nested for item in entry)
    if by_row and len(nested) != rows:
        raise ValueError(f"{name} has phrases of {len(nested)} rows; there are {rows}")
    parsed = []
    for row in nested if by_row else [nested]:
        flat = np.array([token for phrase in row for token in phrase if token != -1], int)
        check_tokens(name, flat, vocabulary)
        if (flat == eos_id).any():
            raise ValueError(f"{name} contains {eos_id}, the end, which no other token follows")
        stripped = [tuple(token for token in phrase if token != -1) for phrase in row]
        parsed.append([phrase for phrase in stripped if phrase])
    return parsed if by_row else parsed * rows


def make_automaton(required: Sequence[Phrase], banned: Sequence[Phrase]) -> Automaton:
    """Automaton of some phrases; a required phrase that is given n times must occur n times."""
    counts = Counter(required)
    combinations = int(np.prod([n + 1 for n in counts.values()], dtype=float))
    if combinations > MOST_COMBINATIONS:
        raise ValueError(
            f"{len(required)} required phrases and tokens are too many: with phrases of several "
            f"tokens there may be {MOST_COMBINATIONS.bit_length() - 1} different ones"
        )
    # a hypothesis has a digit for each required phrase: how often it contains the phrase
    codes = np.arange(combinations)
    strides = dict(zip(counts, np.cumprod([1, *(n + 1 for n in counts.values())]), strict=False))
    digits = {p: codes // strides[p] % (n + 1) for p, n in counts.items()}
    lacks = {p: n - digits[p] for p, n in counts.items()}
    missing = sum(lacks.values(), 0 * codes)
    stages: list[np.ndarray] = []
    phrases = {*required, *banned}
    tokens = sorted({token for phrase in phrases for token in phrase})
    begun = sorted({phrase[:n] for phrase in phrases for n in range(len(phrase))} | {()}, key=len)
    nodes = {beginning: node for node, beginning in enumerate(begun)}
    shape = (len(nodes), combinations, 1 + len(tokens))
    following, blocked = np.broadcast_to(codes[:, None], shape).copy(), np.zeros(shape, bool)
    for beginning, node in nodes.items():
        within = [
            lack > 0
            for p, lack in lacks.items()
            if any(beginning[-n:] == p[:n] for n in range(1, len(p)))
        ]
        both = sum((lack * (1 + (len(p) > 1)) for p, lack in lacks.items()), 0 * codes)
        stages.append(both - np.any([codes < 0, *within], axis=0))
        for column, token in enumerate(tokens, 1):
            text = (*beginning, token)
            ends = [text[start:] for start in range(len(text) + 1)]
            after = codes + sum(
                strides[p] * (digits[p] < n) for p, n in counts.items() if p in ends
            )
            longest = next(nodes[end] for end in ends if end in nodes)
            following[node, :, column] = longest * combinations + after
            blocked[node, :, column] = any(phrase in ends for phrase in banned)
    states = len(nodes) * combinations
    flat = (states, 1 + len(tokens))
    return Automaton(
        tokens,
        following.reshape(flat),
        blocked.reshape(flat),
        np.tile(missing, len(nodes)),
        np.concatenate(stages),
    )


def fewest_tokens(automaton: Automaton, usable: np.ndarray) -> int:
    """Fewest tokens that contain all required phrases, at most NEVER; usable: see RowLimits."""
    closed = automaton.blocked | ~usable
    distances = np.where(automaton.missing == 0, 0, NEVER)
    while True:
        nearest = np.where(closed, NEVER, distances[automaton.following]).min(axis=1)
        shorter = np.minimum(distances, 1 + nearest)
        if (shorter == distances).all():
            return int(distances[0])
        distances = shorter


def fewest_missing(automaton: Automaton, limits: RowLimits, eos_id: int) -> np.ndarray:
    """Fewest required phrases that are missing at the end, [length + 1, S]; see PhraseAutomaton.

    A state from which no hypothesis is allowed has a number above all others.
    """
    closed = automaton.blocked | ~limits.usable
    missing, nothing = automaton.missing, automaton.missing.max() + 1
    table = [missing]
    for position in range(limits.length - 1, -1, -1):
        later = table[0][automaton.following]
        token = limits.forced[position]
        if token == eos_id:
            fewest = missing
        elif token >= 0:
            tokens = automaton.tokens
            fewest = later[:, 1 + tokens.index(token) if token in tokens else 0]
        else:
            fewest = np.where(closed, nothing, later).min(axis=1)
            if position >= limits.earliest_end:
                fewest = np.minimum(fewest, missing)
        table.insert(0, fewest)
    return np.array(table)


def make_phrases(
    required: list[list[Phrase]],
    banned: list[list[Phrase]],
    *,
    lengths: np.ndarray,
    prefix: np.ndarray,
    banned_tokens: np.ndarray,
    min_length: int,
    eos_id: int,
) -> PhraseAutomaton:
    """Make the automata of the phrases of each row, and their tables.

    lengths: int [B]. prefix: int [B, L]. banned_tokens: bool [B, V]. Raises ValueError if a row has
    no room for its required phrases, or if one of them is banned.
    """
    automata: dict[Any, Automaton] = {}
    tables: dict[Any, tuple[Any, ...]] = {}
    by_row = []
    for row, length in enumerate(lengths.tolist()):
        phrases = (tuple(required[row]), tuple(banned[row]))
        if phrases not in automata:
            automata[phrases] = make_automaton(*phrases)
        automaton = automata[phrases]
        others = ~banned_tokens[row]
        earliest_end = min_length - 1 if others[eos_id] else np.inf
        usable = others[automaton.tokens]
        others[[*automaton.tokens, eos_id]] = False
        usable = np.array([others.any(), *usable])
        forced = prefix[row, :length]
        key = (phrases, length, earliest_end, usable.tobytes(), forced.tobytes())
        if key not in tables:
            check_room(row, fewest_tokens(automaton, usable), length)
            limits = RowLimits(length, forced, usable, earliest_end)
            tables[key] = (*automaton, fewest_missing(automaton, limits, eos_id))
        by_row.append(tables[key])
    tokens, following, blocked, missing, stages, fewest = zip(*by_row, strict=True)
    # rows of fewer states and tokens never reach the padding
    columns, states = max(map(len, tokens)), max(map(len, missing))
    return PhraseAutomaton(
        tokens=stack([np.array(row, int) for row in tokens], (columns,), -1),
        following=stack(following, (states, 1 + columns)),
        blocked=stack(blocked, (states, 1 + columns)),
        missing=stack(missing, (states,)),
        fewest=stack(fewest, (prefix.shape[1] + 1, states)),
        stages=stack(stages, (states,)),
        banks=1 + max(int(row[0]) for row in stages),
    )


def check_room(row: int, needed: int, length: int) -> None:
    """Raise ValueError if a row of `length` tokens has no room for those that it needs."""
    if needed >= NEVER:
        raise ValueError(
            f"row {row}: no hypothesis has all required phrases and no banned phrase or token"
        )
    if needed >= length:
        room = f"{length} tokens with the end leave room for {length - 1}"
        raise ValueError(f"row {row} has required phrases of {needed} tokens; {room}")


def stack(tables: Sequence[np.ndarray], shape: tuple[int, ...], fill: int = 0) -> Array:
    """Stack tables of smaller shapes, padded at the end of each axis."""
    kind = bool if tables[0].dtype == bool else np.int32
    stacked = np.full((len(tables), *shape), fill, kind)
    for row, table in enumerate(tables):
        stacked[row][tuple(slice(size) for size in table.shape)] = table
    return jnp.asarray(stacked)
