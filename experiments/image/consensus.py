"""Consensus of captions: the one that is most like the captions of similar training images.

Source: Devlin et al., "Exploring nearest neighbor approaches for image captioning", 2015, who
choose among the captions of these images; Mao et al., "Deep captioning with multimodal recurrent
neural networks", 2015, who choose among the hypotheses of a beam search.
"""

from typing import Any

import jax
import numpy as np

from data.images.captioned import Pictures
from experiments.image.cider import Cider, References
from nets.decoding.beam import BeamResult
from train.config import ConfigError


def checked(config: Any, known: Pictures | None) -> Pictures | None:
    """Return the training images of a consensus, None without config.consensus.

    Raises ConfigError when there is no search, or not so many images among `known`.
    """
    if not config.consensus:
        return None
    if not config.feedback:
        raise ConfigError(
            "config.consensus needs config.feedback=True: without feedback, captions are drawn, "
            "not searched for"
        )
    if known is None:
        raise ConfigError(
            f"config.consensus must be 0, got {config.consensus}: the run was trained without it "
            "and has kept no training images"
        )
    if config.consensus > len(known.images):
        raise ConfigError(
            f"config.consensus must be 0 to {len(known.images)}, the number of training images "
            f"that the run keeps, got {config.consensus}"
        )
    return known


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, C] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(summaries: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """Indices int [N, count] of the known images that are most like each image, best first.

    The likeness is the cosine of the summaries, [N, C] and [M, C], around the mean of the known
    ones. Of equal images, the first comes first.
    """
    centre = known.mean(axis=0)
    likeness = unit(summaries - centre) @ unit(known - centre).T
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count]


def mean_of_largest(similarities: np.ndarray, count: int) -> np.ndarray:
    """Mean of the `count` largest of each row [N, M], or of all M if they are fewer, 0 if none."""
    largest = -np.sort(-similarities, axis=1)[:, :count]
    return largest.sum(axis=1) / max(1, largest.shape[1])


class Consensus:
    """Scores of captions by those of the `images` training images that are most like an image.

        score(c) = mean of the `captions` largest d(c, r), with r the captions of these images

    d is the similarity of CIDEr-D with the document frequencies of all training captions.
    summaries: float [M, C] of the training images. references: the captions of each.
    """

    def __init__(self, summaries: np.ndarray, references: References, images: int, captions: int):
        self.summaries, self.references = summaries, references
        self.images, self.captions = images, captions
        self.cider = Cider(references)

    def similar(self, summaries: np.ndarray, images: int) -> list[list[str]]:
        """Captions of the `images` training images most like each image, summaries [N, C]."""
        rows = nearest(summaries, self.summaries, images)
        return [[caption for i in row for caption in self.references[i]] for row in rows]

    def scores(self, hypotheses: References, summaries: np.ndarray) -> np.ndarray:
        """Scores float [N, K], 0 to 10, of K hypotheses for each of N images."""
        references = self.similar(summaries, self.images)
        return np.stack(
            [
                mean_of_largest(self.cider.similarities(texts, similar), self.captions)
                for texts, similar in zip(hypotheses, references, strict=True)
            ]
        )

    def reranked(
        self, result: BeamResult, texts: References, summaries: np.ndarray, n_best: int
    ) -> BeamResult:
        """The n_best hypotheses of each row by score, which replaces that of the search.

        texts: the hypotheses of `result` as captions. Those of equal score stay in their order.
        """
        scores: Any = self.scores(texts, summaries)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n_best]
        rows = np.arange(len(order))[:, None]
        return jax.tree.map(lambda leaf: leaf[rows, order], result._replace(scores=scores))

    def without_network(self, summaries: np.ndarray, images: int) -> list[str]:
        """The caption with the best score among those of the `images` most similar training images.

        No caption counts for itself. images: up to that of the consensus.
        """
        found = []
        for texts in self.similar(summaries, self.images):
            among = self.cider.similarities(texts, texts)
            others = among[~np.eye(len(texts), dtype=bool)].reshape(len(texts), len(texts) - 1)
            found.append(mean_of_largest(others, self.captions))
        chosen = self.similar(summaries, images)
        return [
            texts[scores[: len(texts)].argmax()]
            for texts, scores in zip(chosen, found, strict=True)
        ]
