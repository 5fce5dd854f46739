"""What experiments in translation share: settings, the task, its search, scores and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure
from sacrebleu.metrics import BLEU, CHRF

from data.buckets import EvaluationBuckets, restore_order
from data.pairs.batches import source_buckets
from data.text.subwords import BEGIN, END, Vocabulary
from nets.decoding.beam import BeamResult, beam_search
from nets.recurrent.cells import CELLS
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from train.config import Config as SharedConfig
from train.config import ConfigError, changed, option
from train.task import Batch, Mean, Task

BATCH_OF_TEXT, SHAPES_OF_TEXT = 16, tuple((8 * 2**k, 4) for k in range(5))


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings that networks for translation share."""

    cell: str = option("gru", "", choices=CELLS)
    hidden: int = option(128, "units of a layer; of each direction in the encoder", minimum=1)
    embedding: int = option(128, "width of the embeddings", minimum=1)
    layers: int = option(1, "recurrent layers of encoder and decoder", minimum=1)
    bidirectional: bool = option(True, "the encoder reads from both ends")
    backwards: bool = option(False, "an encoder in one direction reads from the end")
    attention: str = option("additive", "", choices=("additive", "dot", "general", "none"))
    window: int = option(0, "half width of local attention; 0: global", minimum=0)
    input_feeding: bool = option(False, "the decoder reads its last attentional state, too")
    bridge: str = option("dense", "from encoder to decoder", choices=("dense", "copy", "zeros"))
    tied: bool = option(False, "the output product is the target embedding's table")
    dropout: float = option(0.0, "of embeddings and layers", minimum=0, maximum=0.95)
    word_dropout: float = option(0.0, "of whole symbols that are read", minimum=0, maximum=0.95)
    smoothing: float = option(0.0, "of the target distribution", minimum=0, below=1)
    sampling: float = option(0.0, "share of steps that read a drawn token", minimum=0, maximum=1)

    longest: int = option(60, "ids of a sentence in training; longer ones are left out", minimum=4)
    beam_size: int = option(4, "open hypotheses of a search; 1: greedy", minimum=1)
    length_penalty: float = option(1.0, "alpha: log P is over ((5 + length) / 6)^alpha")
    n_best: int = option(1, "translations shown, at most beam_size", minimum=1, volatile=True)
    picture: str = option("states.png", "file that --mode=states draws", volatile=True)

    batch_size: int = option(64, "pairs in a step", minimum=1)
    learning_rate: float = changed("learning_rate", 3e-3)
    clip_norm: float = changed("clip_norm", 1.0)
    warmup_steps: int = changed("warmup_steps", 100)


def make_network(config: Config, source: int, target: int) -> Seq2Seq:
    """Network for vocabularies of these sizes; ConfigError where settings do not go together."""
    for name, value in (("attention", "dot"), ("bridge", "copy")):
        if config.bidirectional and getattr(config, name) == value:
            raise ConfigError(f"config.{name}={value} needs config.bidirectional=False")
    if config.input_feeding and config.attention == "none":
        raise ConfigError("config.input_feeding needs an attention, got config.attention=none")
    shared: dict[str, Any] = {
        "cell": config.cell,
        "embedding": config.embedding,
        "hidden": config.hidden,
        "layers": config.layers,
        "dropout": config.dropout,
        "word_dropout": config.word_dropout,
        "dtype": jnp.dtype(config.precision),
    }
    encoder = Encoder(
        source, bidirectional=config.bidirectional, backwards=config.backwards, **shared
    )
    decoder = Decoder(
        target,
        attention=config.attention,
        window=config.window,
        input_feeding=config.input_feeding,
        sampling=config.sampling,
        bridge=config.bridge,
        tied=config.tied,
        **shared,
    )
    return Seq2Seq(encoder, decoder)


@dataclass(frozen=True)
class HeldOut:
    """Batches of pairs, with their sentences as they were written."""

    batches: EvaluationBuckets
    sources: Sequence[str]
    references: Sequence[str]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        return iter(self.batches)


def signatures() -> dict[str, str]:
    """What sacrebleu did to reach its scores, tokenisation and version among it."""
    found = {}
    metrics: dict[str, Any] = {"BLEU": BLEU(), "chrF": CHRF()}
    for name, metric in metrics.items():
        metric.corpus_score(["one"], [["one"]])  # the number of references is part of it
        found[name] = metric.get_signature().format()
    return found


class Translate(Task):
    """Mean of -log P(y_t given y_<t and the source) over the tokens of all targets."""

    def __init__(self, model: Seq2Seq, source: Vocabulary, target: Vocabulary, config: Config):
        if config.n_best > config.beam_size:
            raise ConfigError(f"config.n_best must be at most beam_size, {config.beam_size}")
        self.model, self.source, self.target, self.config = model, source, target, config
        self.headline = "exact" if config.dataset.startswith("dates") else "bleu"

    def inputs(self, batch, carry):
        """Source, its lengths, and the target up to the token before each."""
        return batch["source"], batch["source_lengths"], batch["inputs"]

    def means(self, outputs, batch):
        """Loss with smoothed targets, nats of the targets themselves, and accuracy, by token."""
        chosen = jnp.take_along_axis(outputs, batch["targets"][..., None], axis=-1)[..., 0]
        total = jax.nn.logsumexp(outputs, axis=-1)
        smoothing = self.config.smoothing
        values = {
            "loss": total - (1 - smoothing) * chosen - smoothing * outputs.mean(axis=-1),
            "nats": total - chosen,
            "accuracy": chosen >= outputs.max(axis=-1),  # quicker than where the maximum is
        }
        return {name: Mean.of(value, batch["mask"]) for name, value in values.items()}

    def n_best(self, variables, sentences: Sequence[str]) -> list[list[tuple[float, str]]]:
        """(score, translation) of the n best for each of some sentences, best first."""
        options = {"n_best": self.config.n_best}
        return self.found(variables, self.buckets(sentences), len(sentences), **options)

    def found(self, variables, batches, count: int, **options) -> list[list[tuple[float, str]]]:
        """(score, translation) of what a search finds for each of `count` sentences in batches."""

        def answer(batch):
            best = self.search(variables, batch, **options)
            for scores, tokens in zip(best.scores.tolist(), np.asarray(best.tokens), strict=True):
                yield list(zip(scores, map(self.target.decode, tokens), strict=True))

        return restore_order(batches, count, answer)

    def encode(self, variables, sentences: Sequence[str]) -> list[np.ndarray]:
        """All states [D] of the encoder's last layer after each of some sentences."""

        def answer(batch):
            return np.asarray(self._read(variables, batch["source"], batch["source_lengths"]))

        return restore_order(self.buckets(sentences), len(sentences), answer)

    def buckets(self, sentences: Sequence[str]) -> EvaluationBuckets:
        """Batches of sentences that have no translation."""
        return source_buckets(self.source.encode(sentences), BATCH_OF_TEXT, SHAPES_OF_TEXT)

    @partial(jax.jit, static_argnums=0)
    def _read(self, variables, source, lengths):
        def last(model):
            carry = model.encoder(source, lengths).carries[-1]
            return jnp.concatenate(jax.tree.leaves(carry), axis=-1)

        return nn.apply(last, self.model)(variables)

    def scores(self, predict, batches):
        """BLEU, chrF and the share of exact matches of the best translations."""
        found = self.translate(predict.variables, batches)
        references = [list(batches.references)]
        exact = np.mean([a == b for a, b in zip(found, batches.references, strict=True)])
        bleu, chrf = (metric.corpus_score(found, references).score for metric in (BLEU(), CHRF()))
        return {"bleu": bleu, "chrf": chrf, "exact": float(exact)}

    def translate(self, variables, batches: HeldOut) -> list[str]:
        """Best translation of each source, in their order."""
        found = self.found(variables, batches, len(batches.sources), n_best=1)
        return [best[0][1] for best in found]

    def search(self, variables, batch: Batch, **options) -> BeamResult:
        """Search for the translations of a batch; options as of nets.decoding.beam."""
        given = self.problem(variables, batch)
        # of its own length alone, since what a sentence becomes must not depend on its batch
        limits = np.minimum(2 * batch["source_lengths"] + 10, given["max_length"])
        chosen = {"beam_size": self.config.beam_size, "max_lengths": limits} | options
        return beam_search(**(given | chosen))

    def problem(self, variables, batch: Batch) -> dict[str, Any]:
        """What a search is given, but for its own options: the model, the limits, the score."""
        carry, memory = self._start(variables, batch["source"], batch["source_lengths"])
        return {
            "step_fn": self._step,
            "parameters": variables,
            "carry": carry,
            "memory": memory,
            "bos_id": BEGIN,
            "eos_id": END,
            "max_length": 3 * self.config.longest // 2,
            "length_penalty": self.config.length_penalty,
        }

    @partial(jax.jit, static_argnums=0)
    def _start(self, variables, source, lengths):
        return self.model.apply(variables, source, lengths, method="start")

    def _step(self, variables, tokens, carry, *memory):
        return self.model.apply(variables, tokens, carry, *memory, method="step")

    def figures(self, predict, batches):
        """Return translations as a text, and where the attention lay in the first of them."""
        batch = next(iter(batches))
        attends = self.config.attention != "none"
        # fetched once: on the device, each slice of another length is a program to compile
        found = jax.device_get(self.search(predict.variables, batch, return_attention=attends))
        rows = [row for row in range(min(6, len(batch["index"]))) if batch["index"][row] >= 0]
        places = [int(batch["index"][row]) for row in rows]
        best = [self.target.decode(found.tokens[row, 0]) for row in rows]
        shown = {
            "translations": "".join(
                f"source     {batches.sources[place]}\ntarget     {batches.references[place]}\n"
                f"network    {text}\n\n"
                for place, text in zip(places, best, strict=True)
            )
        }
        if not attends:
            return shown
        return {**shown, "attention": self.attention_picture(batch, found, rows)}

    def attention_picture(self, batch, found, rows) -> Figure:
        """Draw for each row which source token every target token looked at."""
        figure = Figure(figsize=(13, 4.2 * -(-len(rows) // 3)), layout="constrained")
        axes = figure.subplots(-(-len(rows) // 3), 3, squeeze=False).ravel()
        for axis in axes[len(rows) :]:
            axis.axis("off")
        for axis, row in zip(axes, rows, strict=False):
            source = batch["source"][row, : batch["source_lengths"][row]]
            length = int(found.lengths[row, 0])
            axis.imshow(found.attention[row, 0, :length, : len(source)], cmap="Blues", vmin=0)
            target = found.tokens[row, 0, :length]
            for set_ticks, ids, words, turn in (
                (axis.set_xticks, source, self.source, 90),
                (axis.set_yticks, target, self.target, 0),
            ):
                labels = ["end" if i == END else words.decode([i]) for i in ids]
                set_ticks(range(len(ids)), labels, rotation=turn, fontsize=7)
        return figure
