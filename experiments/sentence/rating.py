"""What a classifier of sentences is trained for, and what it shows."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from data.buckets import EvaluationBuckets, restore_order
from data.sentences.sentiment import LabelledSentence
from data.sentences.sentiment_batches import LabelledIds
from data.sentences.tagged import split_words
from data.text.words import UNKNOWN, WordVocabulary
from experiments.common.classification import Classify
from experiments.sentence.evidence import Rating, evidence_picture
from nets.sentence.classifier import SentenceClassifier, evidence

BATCH_OF_TEXT, SHAPES_OF_TEXT = 16, tuple((16 * 2**k,) for k in range(4))
SHOWN = 10  # sentences of a picture


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
        from experiments.common.pictures import confusion_picture

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
