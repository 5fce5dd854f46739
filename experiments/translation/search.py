"""The beam search of translations, and the searches that --mode=translate chooses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import jax
import numpy as np

from data.buckets import restore_order
from data.text.vocabulary import BEGIN, END, PADDING, UNKNOWN, Vocabulary
from experiments.common.search import check_groups
from experiments.translation.settings import SearchConfig
from nets.decoding.beam import BeamResult, beam_search
from nets.decoding.constraints import Limits, make_constraints
from nets.decoding.sampling import sample
from nets.decoding.scores import Score
from train.config import ConfigError
from train.state import stream
from train.task import Batch


class Hypothesis(NamedTuple):
    """A translation: score, None if it is sampled; text; whether it was cut at its limit."""

    score: float | None
    text: str
    cut: bool


Translator = Callable[[Any, Sequence[str]], list[list[Hypothesis]]]

FOR_SAMPLING = ("top_k", "top_p", "min_p")
FOR_SEARCH = (
    "required",
    "banned",
    "min_target_length",
    "no_repeat_ngram",
    "coverage_penalty",
    "groups",
    "diversity",
)


def search(
    task: Any,
    variables: Any,
    batch: Batch,
    *,
    limits: Limits | None = None,
    length_penalty: float | None = None,
    coverage_penalty: float = 0.0,
    **options: Any,
) -> BeamResult:
    """Beam search for the translations of a batch; options: those of beam_search.

    task: a `Translate`. limits: those of every row, to which its `row_lengths` are added.
    length_penalty: by default config.length_penalty.
    """
    given: Any = limits or Limits()
    phrases = (given.required or (), *given.required_phrases)
    more = given.min_length + sum(map(len, phrases))
    score = Score(
        length_penalty=task.config.length_penalty if length_penalty is None else length_penalty,
        coverage_penalty=coverage_penalty,
        source_valid=np.arange(batch["source"].shape[1]) < batch["source_lengths"][:, None],
    )
    return beam_search(
        task.step_model(variables, batch),
        max_length=longest(batch, more),
        score=score,
        limits=replace(given, max_lengths=row_lengths(batch, more)),
        **({"beam_size": task.config.beam_size} | options),
    )


def row_lengths(batch: Batch, more: int = 0) -> np.ndarray:
    """Maximum length int [B] of each translation, 2 n + 10 for a source of n tokens with its end.

    So it depends only on the sentence itself. more: a number of tokens that are added to it.
    """
    return 2 * batch["source_lengths"] + 10 + more


def longest(batch: Batch, more: int = 0) -> int:
    """Maximum of `row_lengths` for the shape of a batch."""
    return 2 * batch["source"].shape[1] + 10 + more


def hypothesis(target: Vocabulary, score: float | None, tokens: np.ndarray) -> Hypothesis:
    """Translation of tokens int [N], which end with END unless they were cut."""
    return Hypothesis(score, target.decode(tokens), bool(len(tokens) and tokens[-1] != END))


def searched_hypotheses(target: Vocabulary, result: BeamResult) -> list[list[Hypothesis]]:
    """Hypotheses of each row of a search, best first."""
    tokens, scores, lengths = jax.device_get((result.tokens, result.scores, result.lengths))
    return [
        [
            hypothesis(target, float(score), own[:length])
            for score, own, length in zip(*row, strict=True)
        ]
        for row in zip(scores, tokens, lengths, strict=True)
    ]


def translator(task: Any) -> Translator:
    """Function from variables and sentences to the config.n_best translations of each sentence.

    task: a `Translate`. With config.temperature above 0 the translations are sampled, with the
    run's seed; otherwise they are the best ones, in order. Raises ConfigError for settings that do
    not fit one another or the target vocabulary.
    """
    config = task.config
    unused = FOR_SEARCH if config.temperature else FOR_SAMPLING
    for name in unused:
        if getattr(config, name) != SearchConfig.__dataclass_fields__[name].default:
            needed = "0" if config.temperature else "above 0"
            raise ConfigError(f"config.{name} needs config.temperature to be {needed}")
    return partial(sampled, task) if config.temperature else partial(searched, task, options(task))


def options(task: Any) -> dict[str, Any]:
    """Options of `Translate.search`; ConfigError if they do not fit one another."""
    config = task.config
    check_groups(config)
    if config.coverage_penalty and config.attention == "none":
        raise ConfigError("config.coverage_penalty needs attention, got config.attention=none")
    return {
        "n_best": config.n_best,
        "groups": config.groups,
        "diversity": config.diversity,
        "coverage_penalty": config.coverage_penalty,
        "limits": limits(task),
    }


def limits(task: Any) -> Limits:
    """Limits of every sentence; ConfigError if no translation can satisfy them."""
    config, target = task.config, task.target
    required = encode_phrases("required", config.required, target)
    banned = encode_phrases("banned", config.banned, target)
    lengths = {"min_length": config.min_target_length, "no_repeat_ngram": config.no_repeat_ngram}
    if not (required or banned or any(lengths.values())):
        return Limits()
    # tokens without text would let a banned phrase pass
    banned += [[PADDING], [BEGIN]]
    found = Limits(
        required=[phrase[0] for phrase in required if len(phrase) == 1] or None,
        required_phrases=[phrase for phrase in required if len(phrase) > 1],
        banned=[phrase[0] for phrase in banned if len(phrase) == 1],
        banned_phrases=[phrase for phrase in banned if len(phrase) > 1],
        **lengths,
    )
    more = config.min_target_length + sum(map(len, required))
    try:  # with the limit of an empty sentence, the lowest one
        make_constraints(1, len(target), 10 + more, END, found)
    except ValueError as error:
        raise ConfigError(f"no translation satisfies the settings: {error}") from error
    return found


def encode_phrases(name: str, text: str, vocabulary: Vocabulary) -> list[list[int]]:
    """Ids of each phrase of a setting; ConfigError if the vocabulary does not cover one."""
    separator = ";" if ";" in text else ","
    phrases = [phrase.strip() for phrase in text.split(separator) if phrase.strip()]
    encoded = vocabulary.encode(phrases)
    for phrase, ids in zip(phrases, encoded, strict=True):
        if not ids or UNKNOWN in ids:
            raise ConfigError(f"config.{name}: the target vocabulary does not cover {phrase!r}")
    return encoded


def searched(
    task: Any, found: dict[str, Any], variables: Any, sentences: Sequence[str]
) -> list[list[Hypothesis]]:
    """The best translations of each sentence."""
    return task.hypotheses(variables, task.buckets(sentences), len(sentences), **found)


def sampled(task: Any, variables: Any, sentences: Sequence[str]) -> list[list[Hypothesis]]:
    """Sampled translations of each sentence, which depend on the seed and on all sentences."""
    config, numbers = task.config, count()
    filters = {
        "top_k": config.top_k or None,
        "top_p": config.top_p if config.top_p < 1 else None,
        "min_p": config.min_p or None,
    }

    def decode(batch: Batch) -> list[list[Hypothesis]]:
        batch = {name: np.repeat(batch[name], config.n_best, axis=0) for name in batch}
        key = stream(jax.random.key(config.seed), "translate", next(numbers))
        model, size = task.step_model(variables, batch), longest(batch)
        drawn = sample(model, key, length=size, temperature=config.temperature, **filters)
        found = []
        for tokens, limit in zip(np.asarray(drawn), row_lengths(batch), strict=True):
            (ends,) = np.nonzero(tokens[:limit] == END)
            end = ends[0] + 1 if len(ends) else limit
            found.append(hypothesis(task.target, None, tokens[:end]))
        firsts = range(0, len(found), config.n_best)
        return [found[i : i + config.n_best] for i in firsts]

    return restore_order(task.buckets(sentences), len(sentences), decode)
