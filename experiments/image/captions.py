"""Captions of images: settings of the search, and the task with its scores and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from data.images.captioned import Pictures
from data.text.vocabulary import BEGIN, END, Vocabulary
from experiments.common.search import check_groups, check_n_best
from experiments.image.consensus import Consensus, checked, nearest
from nets.decoding.beam import BeamResult, beam_search
from nets.decoding.constraints import Limits
from nets.decoding.sampling import sample
from nets.decoding.scores import Score
from nets.decoding.step_model import StepModel
from nets.translation.captioner import Captioner
from train.config import OptimizerConfig, option
from train.state import stream
from train.task import Mean, Task

caption_option = partial(option, modes=("caption",))
SHOWN = 8  # images of a figure


@dataclass(slots=True, kw_only=True)
class SearchConfig(OptimizerConfig):
    """Settings of the search for captions."""

    beam_size: int = option(
        4, "beam size of the search", note="1: greedy", free_in_modes=True, minimum=1
    )
    length_penalty: float = option(
        1.0, "alpha of the length penalty ((5 + length) / 6)^alpha", free_in_modes=True
    )
    consensus: int = option(
        0,
        "training images whose captions choose among the hypotheses of the search",
        note="those most like the image; 0: none",
        free_in_modes=True,
        minimum=0,
    )
    consensus_captions: int = option(
        50,
        "captions of these training images that count for a hypothesis",
        note="those most like it",
        free_in_modes=True,
        minimum=1,
    )
    n_best: int = caption_option(
        3, "number of hypotheses to print", note="up to beam_size", minimum=1
    )
    no_repeat_ngram: int = caption_option(
        0,
        "order of the n-grams that a hypothesis may contain only once",
        note="0: none",
        minimum=0,
    )
    groups: int = caption_option(
        1, "number of groups of the beam", note="must divide beam_size", minimum=1
    )
    diversity: float = caption_option(
        0.0, "cost of a token that an earlier group has chosen at the same step", minimum=0
    )
    temperature: float = caption_option(
        0.0, "sampling temperature", note="0: beam search", minimum=0
    )


class Caption(Task):
    """Mean of -log P(y_t | y_<t, image) over the symbols of all captions.

    A network with feedback is scored by beam search; with config.consensus, the captions of similar
    images among `known` choose among all hypotheses of the beam. Without feedback, the symbols of a
    caption are drawn independently of one another, with the run's seed.
    """

    def __init__(
        self,
        model: Captioner,
        vocabulary: Vocabulary,
        scenes: bool,
        config: Any,
        known: Pictures | None = None,
    ):
        check_n_best(config)
        check_groups(config)
        self.model, self.vocabulary, self.config = model, vocabulary, config
        self.known = checked(config, known)
        self.headline = "true" if scenes else "cider_d"

    def inputs(self, batch):
        """Images, the captions shifted by one symbol, and masks of objects, if there are any."""
        objects = (batch["objects"],) if "objects" in batch else ()
        return batch["image"], batch["inputs"], *objects

    def means(self, outputs, batch):
        """Loss in nats and accuracy per symbol."""
        values = {
            "loss": optax.softmax_cross_entropy_with_integer_labels(outputs, batch["targets"]),
            "accuracy": outputs.argmax(axis=-1) == batch["targets"],
        }
        return {name: Mean.from_values(value, batch["mask"]) for name, value in values.items()}

    def step_model(self, variables, images) -> StepModel:
        """Model of the captions of images, for the searches of `nets.decoding`."""
        carry, memory = self._start(variables, images)
        return StepModel(self._step, variables, carry, BEGIN, END, memory)

    @partial(jax.jit, static_argnums=0)
    def _start(self, variables, images):
        return self.model.apply(variables, images, method="start")

    def _step(self, variables, tokens, carry, *memory):
        return self.model.apply(variables, tokens, carry, *memory, method="step")

    @partial(jax.jit, static_argnums=0)
    def _summary(self, variables, images):
        return self.model.apply(variables, images, method="summary")

    def consensus(self, variables) -> Consensus | None:
        """Return the consensus of similar training images; None without config.consensus."""
        config, known = self.config, self.known
        if known is None:
            return None
        summaries = self.image_summaries(variables, known.images, config.batch_size)
        return Consensus(summaries, known.captions, config.consensus, config.consensus_captions)

    def search(
        self,
        variables,
        images,
        consensus: Consensus | None = None,
        *,
        n_best: int = 1,
        **options: Any,
    ) -> BeamResult:
        """Best hypotheses for images [B, H, W, C], as arrays of numpy.

        consensus: what chooses them among all that the beam search has found. options: those of
        beam_search.
        """
        size = self.config.beam_size
        result = jax.device_get(
            beam_search(
                self.step_model(variables, images),
                beam_size=size,
                max_length=self.config.max_length,
                score=Score(length_penalty=self.config.length_penalty),
                n_best=n_best if consensus is None else size,
                **options,
            )
        )
        if consensus is None:
            return result
        texts = [[self.vocabulary.decode(ids) for ids in row] for row in result.tokens]
        summaries = np.asarray(self._summary(variables, images))
        return consensus.reranked(result, texts, summaries, n_best)

    def drawn(self, variables, images, key: jax.Array, temperature: float = 1.0) -> list[str]:
        """Return a sampled caption of each image."""
        model = self.step_model(variables, images)
        tokens = sample(model, key, length=self.config.max_length, temperature=temperature)
        return [self.vocabulary.decode(row) for row in np.asarray(tokens)]

    def captions(self, variables, batches, consensus: Consensus | None = None) -> list[str]:
        """Caption of each image of held-out batches, in order.

        consensus: that of the variables, which is made here if it is not given.
        """
        texts: list[str] = []
        consensus = consensus or self.consensus(variables)
        for number, batch in enumerate(batches):
            if self.config.feedback:
                result = self.search(variables, batch["image"], consensus)
                found = [self.vocabulary.decode(row) for row in result.tokens[:, 0]]
            else:
                key = stream(jax.random.key(self.config.seed), "captions", number)
                found = self.drawn(variables, batch["image"], key)
            texts += [text for text, i in zip(found, batch["index"], strict=True) if i >= 0]
        return texts

    def candidates(
        self, variables, images, consensus: Consensus | None = None
    ) -> list[list[tuple[float | None, str]]]:
        """config.n_best captions of each image with their scores, which drawn ones do not have.

        The scores are those of the search, or of the consensus if there is one.
        """
        config = self.config
        temperature = config.temperature or (0.0 if config.feedback else 1.0)
        if temperature:
            keys = jax.random.split(
                stream(jax.random.key(config.seed), "captions", 0), config.n_best
            )
            drawn = [self.drawn(variables, images, key, temperature) for key in keys]
            return [[(None, text) for text in texts] for texts in zip(*drawn, strict=True)]
        result = self.search(
            variables,
            images,
            consensus,
            n_best=config.n_best,
            groups=config.groups,
            diversity=config.diversity,
            limits=Limits(no_repeat_ngram=config.no_repeat_ngram),
        )
        return [
            [(score, self.vocabulary.decode(ids)) for score, ids in zip(*row, strict=True)]
            for row in zip(result.scores.tolist(), result.tokens, strict=True)
        ]

    def image_summaries(self, variables, images: np.ndarray, size: int) -> np.ndarray:
        """Means of the feature maps of images uint8 [N, S, S, 3], float32 [N, C]."""
        found = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            padded = np.pad(part, [(0, size - len(part)), (0, 0), (0, 0), (0, 0)])
            vectors = self._summary(variables, padded.astype(np.float32) / 255)
            found.append(np.asarray(vectors)[: len(part)])
        return np.concatenate(found)

    def without_network(
        self, variables, batches, consensus: Consensus | None = None
    ) -> dict[str, Sequence[str]]:
        """Captions of held-out images that no network wrote, by the name of their scores.

        Those of `caption_scores.baselines`; with config.consensus also "knn_consensus", the caption
        with the best score among those of all similar training images, and "neighbour_consensus",
        among those of the most similar one. consensus: that of the variables, which is made here if
        it is not given.
        """
        from experiments.image.caption_scores import baselines

        references, known = batches.pictures.captions, batches.known
        summaries = partial(self.image_summaries, variables, size=batches.batch_size)
        consensus = consensus or self.consensus(variables)
        own = summaries(batches.pictures.images)
        others = consensus.summaries if consensus else summaries(known.images)
        first = [known.captions[i][0] for i in nearest(own, others, 1)[:, 0]]
        found = baselines(references, first, known.captions)
        if consensus:
            for name, count in (("knn_consensus", consensus.images), ("neighbour_consensus", 1)):
                found[name] = consensus.without_network(own, count)
        return found

    def scores(self, predict, batches):
        """BLEU, CIDEr-D and, of scenes, what the captions say; of the test set, also baselines."""
        from experiments.image.caption_scores import caption_scores

        references, facts = batches.pictures.captions, batches.pictures.facts
        variables, consensus = predict.variables, self.consensus(predict.variables)
        scores = caption_scores(self.captions(variables, batches, consensus), references, facts)
        if batches.known is not None:
            for name, texts in self.without_network(variables, batches, consensus).items():
                found = caption_scores(texts, references, facts)
                scores |= {f"{name}_{score}": value for score, value in found.items()}
        return scores

    def figures(self, predict, batches):
        """Draw images with a true caption and the network's; and the attention over one image."""
        from experiments.image.caption_pictures import attention_picture, captions_picture

        batch = next(iter(batches))
        variables, consensus = predict.variables, self.consensus(predict.variables)
        texts = self.captions(variables, [batch], consensus)[:SHOWN]
        truth = [captions[0] for captions in batches.pictures.captions[:SHOWN]]
        shown = batch["image"][: len(texts)]
        figures = {"captions": captions_picture(shown, {"true": truth, "network": texts})}
        if self.model.view == "attention":
            images = batch["image"][: min(4, len(texts))]
            figures["attention"] = attention_picture(
                images, *self.attended(variables, images, consensus)
            )
        return figures

    def attended(
        self, variables, images, consensus: Consensus | None = None
    ) -> tuple[list[list[str]], np.ndarray]:
        """Symbols of the best caption of each image, and attention [B, T, places] of each."""
        result = self.search(variables, images, consensus, return_attention=True)
        tokens, lengths, attention = (
            np.asarray(array)[:, 0] for array in (result.tokens, result.lengths, result.attention)
        )
        words = [
            [self.vocabulary.decode([int(i)]) or "end" for i in row[:length]]
            for row, length in zip(tokens, lengths, strict=True)
        ]
        return words, attention


def describe(paths: Sequence[str], found: Sequence[Sequence[tuple[float | None, str]]]) -> str:
    """Lines with the captions of each image file, the best first, each after its score."""
    lines = []
    for path, captions in zip(paths, found, strict=True):
        lines.append(path)
        lines += [
            f"  {text}" if score is None else f"  {score:8.3f}  {text}" for score, text in captions
        ]
    return "\n".join(lines)
