"""What a classifier of sentences is trained for, what it shows, and --mode=rate."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from data.buckets import EvaluationBuckets, restore_order
from data.catalogue import DataError
from data.sentences.sentiment import LabelledSentence
from data.sentences.sentiment_batches import LabelledIds
from data.sentences.tagged import split_words
from data.text.words import UNKNOWN, WordVocabulary
from experiments.common.classification import Classify
from experiments.common.pictures import confusion_picture
from experiments.common.stdin import texts_of_input
from nets.sentence.classifier import SentenceClassifier, evidence
from train.evaluate import Predictor

BATCH_OF_TEXT, SHAPES_OF_TEXT = 16, tuple((16 * 2**k,) for k in range(4))
GREEN, RED, BOLD = "32", "31", ";1"  # ECMA-48
SHOWN = 10  # sentences of a picture
COLUMNS, SIZE = 96, 8  # letters of its lines, points


class Rating(NamedTuple):
    """The best class of a sentence, its probability, and what each word says for it, nats [T]."""

    label: int
    probability: float
    parts: np.ndarray


class Rate(Classify):
    """Mean of -log P(class given sentence)."""

    model: SentenceClassifier

    def __init__(
        self, model: SentenceClassifier, classes: tuple[str, ...], vocabulary: WordVocabulary
    ):
        super().__init__(model, classes)
        self.vocabulary = vocabulary

    def inputs(self, batch, carry):
        """Return the words, no spellings, and the lengths."""
        return batch["words"], None, batch["lengths"]

    def words_of(self, text: str) -> list[str]:
        """Words of a text: what stands between spaces, cut up where it is unknown."""
        pieces = text.lower().split()
        known = self.vocabulary.index
        return [word for p in pieces for word in ([p] if p in known else split_words(p))]

    def ratings(self, variables, sentences: Sequence[Sequence[str]]) -> list[Rating]:
        """Rate sentences of words."""
        ids = LabelledIds.from_sentences(
            (LabelledSentence(list(words), 0) for words in sentences), self.vocabulary
        )
        batches = EvaluationBuckets(ids, BATCH_OF_TEXT, SHAPES_OF_TEXT)

        def answer(batch):
            found = self._evidence(variables, batch["words"], batch["lengths"])
            logits, parts = map(np.asarray, found)
            shares = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
            for row, length in enumerate(batch["lengths"]):
                label = int(shares[row].argmax())
                yield Rating(label, float(shares[row, label]), parts[row, :length])

        return restore_order(batches, len(sentences), answer)

    @partial(jax.jit, static_argnums=0)
    def _evidence(self, variables, words, lengths):
        return evidence(self.model, variables, words, None, lengths)

    def figures(self, predict, batches):
        """Return the confusion matrix, and what the words of some sentences say."""
        pairs = [
            (batch["label"][real], predict(batch)[0][real].argmax(axis=1), batch["words"][real])
            for batch in batches
            for real in [batch["mask"] > 0]
        ]
        labels, guesses = (np.concatenate(part) for part in list(zip(*pairs, strict=True))[:2])
        rows = [row for *_, words in pairs for row in words]
        names = ("", UNKNOWN, *self.vocabulary.words)
        places = range(0, len(rows), -(-len(rows) // SHOWN))
        sentences = [[names[i] for i in rows[place] if i] for place in places]
        right = [self.classes[labels[place]] for place in places]
        found = self.ratings(predict.variables, sentences)
        return {
            "confusion": confusion_picture(labels, guesses, self.classes),
            "evidence": evidence_picture(sentences, found, right, self.classes),
        }


def rate(task: Rate, predict: Predictor) -> None:
    """Print class and probability of each line of the input, and what speaks for it.

    On a terminal the words are green that speak for the class, and red that speak against it, as
    far as they say a fifth of what the strongest does; else a number follows each word.
    """
    in_colour = sys.stdout.isatty()
    number = 0
    for lines in texts_of_input():
        sentences = []
        for line in lines:
            number += 1
            sentences.append(task.words_of(line))
            if not sentences[-1]:
                raise DataError(f"line {number} of the input is an empty sentence")
        show = coloured if in_colour else numbered
        for words, found in zip(sentences, task.ratings(predict.variables, sentences), strict=True):
            head = f"{task.classes[found.label]}\t{found.probability:.3f}\t"
            print(head + show(words, found.parts), flush=True)


def relative(parts: np.ndarray) -> np.ndarray:
    """Parts [T] over the largest of them, so from -1 to 1."""
    return parts / (np.abs(parts).max() or 1)


def coloured(words: Sequence[str], parts: np.ndarray) -> str:
    """Words in the colours of what they say."""

    def one(word: str, strength: float) -> str:
        if abs(strength) < 0.2:
            return word
        colour = f"{GREEN if strength > 0 else RED}{BOLD if abs(strength) > 0.6 else ''}"
        return f"\x1b[{colour}m{word}\x1b[0m"

    return " ".join(map(one, words, relative(parts)))


def numbered(words: Sequence[str], parts: np.ndarray) -> str:
    """Words with what they say in nats."""
    return " ".join(f"{word}({part:+.2f})" for word, part in zip(words, parts, strict=True))


def evidence_picture(
    sentences: Sequence[Sequence[str]],
    found: Sequence[Rating],
    right: Sequence[str],
    classes: Sequence[str],
) -> Figure:
    """Draw sentences with a colour behind each word: green speaks for the class that was found."""
    cells, heads, line = [], [], 0
    for words, rating, label in zip(sentences, found, right, strict=True):
        guess = classes[rating.label]
        note = "" if guess == label else f", is {label}"
        heads.append((line, f"{guess} {rating.probability:.2f}{note}"))
        line, column = line + 1, 2
        for word, strength in zip(words, relative(rating.parts), strict=True):
            shown = word[: COLUMNS - 2]
            if column + len(shown) > COLUMNS:
                line, column = line + 1, 2
            cells.append((line, column, shown, float(strength)))
            column += len(shown) + 1
        line += 2
    width, height = 0.602 * SIZE / 72, 1.5 * SIZE / 72  # inches of a letter, of a line
    figure = Figure(figsize=(COLUMNS * width, line * height + 0.5))
    axis = figure.add_axes((0, 0, 1, 1 - 0.5 / figure.get_figheight()))
    axis.set(xlim=(0, COLUMNS), ylim=(line, 0))
    axis.axis("off")
    title = "green speaks for the class that was found, red against it; 'is': the right class"
    axis.set_title(title, fontsize=SIZE + 2)
    style: dict[str, Any] = {
        "family": "monospace",
        "size": SIZE,
        "va": "center",
        "parse_math": False,
    }
    for row, text in heads:
        axis.text(1, row + 0.5, text, weight="bold", **style)
    for row, column, word, strength in cells:
        colour = (0.2, 0.7, 0.3) if strength > 0 else (0.9, 0.3, 0.3)
        end = column + len(word)
        axis.fill_between(
            [column, end], row + 0.1, row + 0.95, color=colour, alpha=abs(strength), lw=0
        )
        axis.text(column, row + 0.5, word, **style)
    return figure
