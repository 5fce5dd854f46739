"""Blocks of text for skip-gram: windows, subsampling of frequent words, noise words.

A block is C words of the text in a row with W words before and after it, so that the windows of all
C lie in it. Source of the three distributions: Mikolov et al. 2013 and the authors' program.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..catalogue import DataError
from ..epochs import Batch
from .words import Tokens

NOBODY = -1  # the sentence of what is not in the text


def keep_probability(counts, threshold: float) -> np.ndarray:
    """Probability float64 [V] that a word of the text is kept: min(1, sqrt(t / f) + t / f).

    f is a word's share of the text, t the threshold; 0 keeps everything. The paper has sqrt(t / f)
    alone; this is what the authors' program does.
    """
    share = np.asarray(counts) / np.sum(counts)
    if not threshold:
        return np.ones(len(share))
    return np.minimum(1.0, np.sqrt(threshold / share) + threshold / share)


def noise_cdf(counts, power: float = 0.75) -> np.ndarray:
    """Cumulative probabilities float64 [V] of noise words, in proportion to count ** power."""
    weights = np.asarray(counts, np.float64) ** power
    cdf = np.cumsum(weights)
    return cdf / cdf[-1]


@dataclass(frozen=True)
class Blocks:
    """What blocks are made of.

    size: words C of a block. window: W, the widest reach; that of each word is drawn from 1 to W.
    noise: words N drawn for a block, shared by its windows, each from `cdf`; 0: none. paths: int32
    [V, L], what is looked up for a word that is predicted, -1 at padding; None: the word itself.
    limit: occurrences of a row in a batch whose gradients add up; of more of them, the sum is
    scaled down to so many, since all of them start from the same row.
    """

    size: int
    window: int
    noise: int
    cdf: np.ndarray
    limit: int
    paths: np.ndarray | None = None

    def cut(self, text: Tokens, numbers, rng: np.random.Generator) -> Batch:
        """Blocks with these numbers int [B]; behind the end of the text nothing has a window.

        Returns int32 "words" and "sentence" [B, C + 2 W], "reach" [B, C], "noise" [B, N] where some
        is drawn, "outputs" [B, C + N], with paths [B, C * L + N]; float32 "word_share" and
        "output_share", the factor that `limit` gives for the gradient of each word and output.
        """
        places = numbers[:, None] * self.size + np.arange(-self.window, self.size + self.window)
        inside = (places >= 0) & (places < len(text.ids))
        places = np.where(inside, places, 0)
        words, middle = text.ids[places], slice(self.window, self.window + self.size)
        reach = rng.integers(1, self.window + 1, (len(numbers), self.size), dtype=np.int32)
        read = np.where(inside, words, -1)  # outside of the text no word occurs
        looked_up = read[:, middle]
        if self.paths is not None:
            looked_up = np.where(inside[:, middle, None], self.paths[words[:, middle]], -1)
        looked_up, drawn = looked_up.reshape(len(numbers), -1), {}
        if self.noise:
            drawn["noise"] = draw(self.cdf, (len(numbers), self.noise), rng)
            looked_up = np.concatenate([looked_up, drawn["noise"]], axis=1)
        return {
            **drawn,
            "words": words,
            "sentence": np.where(inside, text.sentence[places], NOBODY).astype(np.int32),
            "reach": np.where(inside[:, middle], reach, 0).astype(np.int32),
            "outputs": np.maximum(looked_up, 0),
            "word_share": self._share(read),
            "output_share": self._share(looked_up),
        }

    def _share(self, ids: np.ndarray) -> np.ndarray:
        """Factor float32, as ids, of what occurs more often than the limit."""
        often = np.bincount(ids.ravel() + 1)  # padding has place 0
        return (self.limit / np.maximum(often, self.limit)).astype(np.float32)[ids + 1]


def draw(cdf: np.ndarray, shape, rng: np.random.Generator) -> np.ndarray:
    """Ids int32 of words drawn from cumulative probabilities."""
    return np.searchsorted(cdf, rng.random(shape), side="right").astype(np.int32)


@dataclass(frozen=True)
class TrainingBlocks:
    """step -> batch of blocks, in an order drawn anew in each pass over the text.

    keep: `keep_probability`; what a pass keeps is drawn from (seed, pass), and neighbours of what
    it leaves out meet. A pass has room for four deviations more than the words that are kept on
    average. Raises DataError when the text is too short.
    """

    text: Tokens
    keep: np.ndarray
    blocks: Blocks
    batch_size: int
    seed: int
    _held: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        """Check the length of the text."""
        check_length(self.text, self.blocks.window, "training")

    @cached_property
    def steps(self) -> int:
        """Steps in a pass."""
        probability = self.keep[self.text.ids]
        room = probability.sum() + 4 * np.sqrt((probability * (1 - probability)).sum())
        return max(int(-(-room // (self.blocks.size * self.batch_size))), 1)

    @cached_property
    def pairs_per_step(self) -> float:
        """Pairs of a word and its context in a step, on average; the same for every seed."""
        rng = np.random.default_rng((0, 0))
        sentence, pairs = subsample(self.text, self.keep, rng).sentence, 0.0
        window = self.blocks.window
        for distance in range(1, window + 1):
            within = (sentence[distance:] == sentence[:-distance]).sum()
            pairs += 2 * within * (window + 1 - distance) / window
        return max(pairs, 1.0) / self.steps

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        number, within = divmod(step, self.steps)
        text, order = self._pass(number)
        chosen = order[within * self.batch_size : (within + 1) * self.batch_size]
        return self.blocks.cut(text, chosen, np.random.default_rng((self.seed, 1, step)))

    def _pass(self, number: int) -> tuple[Tokens, np.ndarray]:
        """What a pass keeps of the text, and the order of its blocks; the last one is held."""
        if number not in self._held:
            self._held.clear()
            rng = np.random.default_rng((self.seed, 0, number))
            text = subsample(self.text, self.keep, rng)
            self._held[number] = text, rng.permutation(self.steps * self.batch_size)
        return self._held[number]


@dataclass(frozen=True)
class EvaluationBlocks:
    """A held-out text once, in order, with windows and noise words that are always the same.

    Frequent words are subsampled as in training. The last batch is padded with blocks that have no
    windows. Raises DataError when the text is too short.
    """

    text: Tokens
    keep: np.ndarray
    blocks: Blocks
    batch_size: int
    name: str

    def __post_init__(self):
        """Check the length of the text."""
        check_length(self.kept, self.blocks.window, self.name)

    @cached_property
    def kept(self) -> Tokens:
        """What is left of the text."""
        return subsample(self.text, self.keep, np.random.default_rng((0, 0)))

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        rng = np.random.default_rng((0, 1))
        for first in range(0, -(-len(self.kept.ids) // self.blocks.size), self.batch_size):
            yield self.blocks.cut(self.kept, first + np.arange(self.batch_size), rng)


def subsample(text: Tokens, keep: np.ndarray, rng: np.random.Generator) -> Tokens:
    """Keep each word of a text with the probability that `keep` has for it."""
    kept = rng.random(len(text.ids)) < keep[text.ids]
    return Tokens(text.ids[kept], text.sentence[kept])


def check_length(text: Tokens, window: int, name: str) -> None:
    """Raise DataError when a text has no more words than a window, or no two in one sentence."""
    if len(text.ids) <= window:
        raise DataError(
            f"the {name} text has {len(text.ids)} words that count, a window (config.window) of "
            f"{window} needs {window + 1}"
        )
    if not (text.sentence[1:] == text.sentence[:-1]).any():
        raise DataError(f"no sentence of the {name} text has two words that count")
