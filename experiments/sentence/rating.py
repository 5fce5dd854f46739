"""Task of a sentence classifier: its loss, its ratings of new sentences, and its pictures."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

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

INPUT_BATCH, INPUT_SHAPES = 16, tuple((16 * 2**k,) for k in range(4))  # of new sentences
PICTURED = 10  # maximum sentences of a picture


class Rate(Classify):
    """Mean of -log P(class | sentence)."""

    model: SentenceClassifier
    axes: ClassVar = {"words": "b, t"}

    def __init__(
        self, model: SentenceClassifier, classes: tuple[str, ...], vocabulary: WordVocabulary
    ):
        super().__init__(model, classes)
        self.vocabulary = vocabulary

    def inputs(self, batch):
        """Return words, None in place of characters, and lengths."""
        return batch["words"], None, batch["lengths"]

    def words_of(self, text: str) -> list[str]:
        """Words of a text, separated by spaces; unknown ones are split as in treebanks."""
        known = self.vocabulary.index
        return [
            word
            for token in text.lower().split()
            for word in ([token] if token in known else split_words(token))
        ]

    def ratings(self, variables, sentences: Sequence[Sequence[str]]) -> list[Rating]:
        """Rating of each sentence."""
        ids = LabelledIds.from_sentences(
            (LabelledSentence(list(words), 0) for words in sentences), self.vocabulary
        )
        batches = EvaluationBuckets(ids, INPUT_BATCH, INPUT_SHAPES)

        def rate(batch):
            results = self._evidence(variables, batch["words"], batch["lengths"])
            logits, contributions = map(np.asarray, results)
            probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
            for row, length in enumerate(batch["lengths"]):
                label = int(probabilities[row].argmax())
                probability = float(probabilities[row, label])
                yield Rating(label, probability, contributions[row, :length])

        return restore_order(batches, len(sentences), rate)

    @partial(jax.jit, static_argnums=0)
    def _evidence(self, variables, words, lengths):
        return evidence(self.model, variables, words, None, lengths)

    def figures(self, predict, batches):
        """Return the confusion matrix, and the evidence in some sentences."""
        from experiments.common.pictures import confusion_picture

        labels, predicted, word_ids = [], [], []
        for batch in batches:
            valid = batch["mask"] > 0
            labels.extend(batch["label"][valid])
            predicted.extend(np.asarray(predict(batch)[0])[valid].argmax(axis=1))
            word_ids.extend(batch["words"][valid])
        names = ("", UNKNOWN, *self.vocabulary.words)
        pictured = range(0, len(word_ids), -(-len(word_ids) // PICTURED))
        sentences = [[names[i] for i in word_ids[index] if i] for index in pictured]
        true = [self.classes[labels[index]] for index in pictured]
        ratings = self.ratings(predict.variables, sentences)
        return {
            "confusion": confusion_picture(np.array(labels), np.array(predicted), self.classes),
            "evidence": evidence_picture(sentences, ratings, true, self.classes),
        }
