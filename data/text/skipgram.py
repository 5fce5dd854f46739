"""Blocks of text for skip-gram: windows, subsampling of frequent words, noise words.

A block has C consecutive words of the text and the W words on either side, so it contains the
windows of all C words. Source of the three distributions: Mikolov et al. 2013 and the authors'
program.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ..catalogue import DataError
from ..epochs import ALL, Batch, Rows, take_rows
from .words import Tokens

OUTSIDE = -1  # sentence number of positions outside the text


def keep_probability(counts: ArrayLike, threshold: float) -> np.ndarray:
    """Probability float64 [V] of keeping each word: min(1, sqrt(t / f) + t / f).

    f is the relative frequency of the word and t the threshold; 0 keeps everything. The paper has
    sqrt(t / f) alone; this is the formula of the authors' program.
    """
    share = np.asarray(counts) / np.sum(counts)
    if not threshold:
        return np.ones(len(share))
    return np.minimum(1.0, np.sqrt(threshold / share) + threshold / share)


def noise_cdf(counts: ArrayLike, power: float = 0.75) -> np.ndarray:
    """Cumulative probabilities float64 [V] of noise words, proportional to count ** power."""
    weights = np.asarray(counts, np.float64) ** power
    cdf = np.cumsum(weights)
    return cdf / cdf[-1]


@dataclass(frozen=True)
class Blocks:
    """Settings of the blocks of a text.

    size: number C of words in a block. window: the largest window radius W; the radius of each word
    is drawn from 1 to W. noise: number N of noise words of a block, shared by its windows and drawn
    from `cdf`; 0: none. paths: int32 [V, L], the output rows of each predicted word, -1 for
    padding; None: the word itself. limit: the summed gradient of a row that occurs more often in a
    batch is scaled to `limit` times its mean, because all are taken at the same parameters.
    """

    size: int
    window: int
    noise: int
    cdf: np.ndarray
    limit: int
    paths: np.ndarray | None = None

    def make_batch(self, text: Tokens, blocks: np.ndarray, rng: np.random.Generator) -> Batch:
        """Batch of blocks by number, int [B]; no position after the end of the text has a window.

        Returns int32 "words" and "sentence" [B, C + 2 W], the window radius "reach" [B, C], "noise"
        [B, N] if N > 0, and "outputs" [B, C + N], with paths [B, C * L + N]; float32 "word_share"
        and "output_share", the factors by which `limit` scales the gradients of words and outputs.
        """
        positions = blocks[:, None] * self.size + np.arange(-self.window, self.size + self.window)
        inside = (positions >= 0) & (positions < len(text.ids))
        positions = np.where(inside, positions, 0)
        words, centre = text.ids[positions], slice(self.window, self.window + self.size)
        radius = rng.integers(1, self.window + 1, (len(blocks), self.size), dtype=np.int32)
        inputs = np.where(inside, words, -1)  # positions outside the text do not count as words
        outputs = inputs[:, centre]
        if self.paths is not None:
            outputs = np.where(inside[:, centre, None], self.paths[words[:, centre]], -1)
        outputs, noise = outputs.reshape(len(blocks), -1), {}
        if self.noise:
            noise["noise"] = sample_words(self.cdf, (len(blocks), self.noise), rng)
            outputs = np.concatenate([outputs, noise["noise"]], axis=1)
        return {
            **noise,
            "words": words,
            "sentence": np.where(inside, text.sentence[positions], OUTSIDE).astype(np.int32),
            "reach": np.where(inside[:, centre], radius, 0).astype(np.int32),
            "outputs": np.maximum(outputs, 0),
            "word_share": self._gradient_scale(inputs),
            "output_share": self._gradient_scale(outputs),
        }

    def _gradient_scale(self, ids: np.ndarray) -> np.ndarray:
        """Factor float32 for each id, below 1 where it occurs more often than `limit`."""
        counts = np.bincount(ids.ravel() + 1)  # index 0 counts padding
        return (self.limit / np.maximum(counts, self.limit)).astype(np.float32)[ids + 1]


def sample_words(cdf: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Ids int32 of words sampled from cumulative probabilities."""
    return np.searchsorted(cdf, rng.random(shape), side="right").astype(np.int32)


@dataclass(frozen=True)
class TrainingBlocks:
    """step -> batch of blocks, in a new random order in each pass over the text.

    keep: `keep_probability`. The words of a pass are sampled by (seed, pass); words around a
    dropped word become neighbours. The number of steps allows for four standard deviations more
    words than are kept on average. Raises DataError when the text is too short.
    """

    text: Tokens
    keep: np.ndarray
    blocks: Blocks
    batch_size: int
    seed: int
    _cache: dict[int, tuple[Tokens, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the length of the text."""
        check_length(self.text, self.blocks.window, "training")

    @cached_property
    def steps(self) -> int:
        """Steps in a pass."""
        probability = self.keep[self.text.ids]
        words = probability.sum() + 4 * np.sqrt((probability * (1 - probability)).sum())
        return max(int(-(-words // (self.blocks.size * self.batch_size))), 1)

    @cached_property
    def pairs_per_step(self) -> float:
        """Mean number of pairs of a word and its context per step, the same for every seed."""
        rng = np.random.default_rng((0, 0))
        sentence, pairs = subsample(self.text, self.keep, rng).sentence, 0.0
        window = self.blocks.window
        for distance in range(1, window + 1):
            same_sentence = (sentence[distance:] == sentence[:-distance]).sum()
            pairs += 2 * same_sentence * (window + 1 - distance) / window
        return max(pairs, 1.0) / self.steps

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        number, step_in_pass = divmod(step, self.steps)
        text, order = self._pass(number)
        chosen = order[step_in_pass * self.batch_size : (step_in_pass + 1) * self.batch_size]
        rng = np.random.default_rng((self.seed, 1, step))
        # whole, because the factors of the gradients count the words of all rows
        return take_rows(self.blocks.make_batch(text, chosen, rng), rows)

    def _pass(self, number: int) -> tuple[Tokens, np.ndarray]:
        """Subsampled text of a pass, and the order of its blocks; the latest pass is cached."""
        if number not in self._cache:
            self._cache.clear()
            rng = np.random.default_rng((self.seed, 0, number))
            text = subsample(self.text, self.keep, rng)
            self._cache[number] = text, rng.permutation(self.steps * self.batch_size)
        return self._cache[number]


@dataclass(frozen=True)
class EvaluationBlocks:
    """A held-out text once, in order, always with the same windows and noise words.

    Frequent words are subsampled as in training. Blocks without windows complete the last batch.
    Raises DataError when the text is too short.
    """

    text: Tokens
    keep: np.ndarray
    blocks: Blocks
    batch_size: int
    name: str

    def __post_init__(self) -> None:
        """Check the length of the text."""
        check_length(self.subsampled, self.blocks.window, self.name)

    @cached_property
    def subsampled(self) -> Tokens:
        """The text after subsampling."""
        return subsample(self.text, self.keep, np.random.default_rng((0, 0)))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        rng = np.random.default_rng((0, 1))
        count = -(-len(self.subsampled.ids) // self.blocks.size)
        for first in range(0, count, self.batch_size):
            numbers = first + np.arange(self.batch_size)
            yield self.blocks.make_batch(self.subsampled, numbers, rng)


def subsample(text: Tokens, keep: np.ndarray, rng: np.random.Generator) -> Tokens:
    """Keep each word of a text with its probability in `keep`, float [V]."""
    chosen = rng.random(len(text.ids)) < keep[text.ids]
    return Tokens(text.ids[chosen], text.sentence[chosen])


def check_length(text: Tokens, window: int, name: str) -> None:
    """Raise DataError unless a text is longer than a window and has two words in a sentence."""
    if len(text.ids) <= window:
        raise DataError(
            f"the {name} text has {len(text.ids)} known words; a window (config.window) of "
            f"{window} needs {window + 1}"
        )
    if not (text.sentence[1:] == text.sentence[:-1]).any():
        raise DataError(f"no sentence of the {name} text has two known words")
