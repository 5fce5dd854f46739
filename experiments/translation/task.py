"""What experiments in translation share: settings, the task, its search, scores and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.buckets import EvaluationBuckets, restore_order
from data.pairs.batches import source_buckets
from data.text.vocabulary import BEGIN, END, Vocabulary
from nets.recurrent.cells import CELLS
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from train.config import ConfigError, OptimizerConfig, option
from train.task import Batch, Mean, Task

if TYPE_CHECKING:
    from nets.decoding.beam import BeamResult

BATCH_OF_TEXT, SHAPES_OF_TEXT = 16, tuple((8 * 2**k, 4) for k in range(5))


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of every translation network."""

    batch_size: int = OptimizerConfig.changed("batch_size", 64, "in sentence pairs")
    max_length: int = option(
        60,
        "maximum length of a training sequence",
        note="in ids; longer pairs are left out",
        group="data",
        minimum=4,
    )

    cell: str = option("gru", "recurrent cell", choices=CELLS)
    hidden: int = option(
        128, "hidden units per layer", note="per direction in the encoder", minimum=1
    )
    embedding: int = option(128, "embedding dimension", minimum=1)
    layers: int = option(1, "recurrent layers", note="of the encoder and of the decoder", minimum=1)
    bidirectional: bool = option(True, "read the source in both directions")
    reverse_source: bool = option(False, "read the source from its end", note="bidirectional=False")
    attention: str = option(
        "additive", "attention score", choices=("additive", "dot", "general", "none")
    )
    attention_window: int = option(
        0, "half width of local attention", note="0: global attention", minimum=0
    )
    input_feeding: bool = option(False, "feed the attentional state to the next decoder step")
    bridge: str = option(
        "dense",
        "initial decoder state from the encoder state",
        choices=("dense", "copy", "zeros"),
    )
    tie_embeddings: bool = option(False, "share the embedding with the output layer")
    dropout: float = option(
        0.0, "dropout probability", note="of embeddings and layers", minimum=0, maximum=0.95
    )
    word_dropout: float = option(
        0.0, "dropout probability of whole words", note="of the input ids", minimum=0, maximum=0.95
    )
    label_smoothing: float = option(0.0, "label smoothing", minimum=0, below=1)
    scheduled_sampling: float = option(
        0.0, "fraction of decoder steps that read a sampled token", minimum=0, maximum=1
    )
    beam_size: int = option(4, "beam size of the search", note="1: greedy", minimum=1)
    length_penalty: float = option(1.0, "alpha of the length penalty ((5 + length) / 6)^alpha")

    learning_rate: float = OptimizerConfig.changed("learning_rate", 3e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)
    warmup_steps: int = OptimizerConfig.changed("warmup_steps", 100)

    n_best: int = option(
        1, "hypotheses to print", note="at most beam_size", modes=("translate",), minimum=1
    )
    picture: str = option("states.png", "image file to write", modes=("states",))


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
        source, bidirectional=config.bidirectional, backwards=config.reverse_source, **shared
    )
    decoder = Decoder(
        target,
        attention=config.attention,
        window=config.attention_window,
        input_feeding=config.input_feeding,
        sampling=config.scheduled_sampling,
        bridge=config.bridge,
        tied=config.tie_embeddings,
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
    from sacrebleu.metrics import BLEU, CHRF

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
        smoothing = self.config.label_smoothing
        values = {
            "loss": total - (1 - smoothing) * chosen - smoothing * outputs.mean(axis=-1),
            "nats": total - chosen,
            "accuracy": chosen >= outputs.max(axis=-1),  # quicker than where the maximum is
        }
        return {name: Mean.from_values(value, batch["mask"]) for name, value in values.items()}

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
        from sacrebleu.metrics import BLEU, CHRF

        found = self.translate(predict.variables, batches)
        references = [list(batches.references)]
        exact = np.mean([a == b for a, b in zip(found, batches.references, strict=True)])
        bleu, chrf = (metric.corpus_score(found, references).score for metric in (BLEU(), CHRF()))
        return {"bleu": bleu, "chrf": chrf, "exact": float(exact)}

    def translate(self, variables, batches: HeldOut) -> list[str]:
        """Best translation of each source, in their order."""
        found = self.found(variables, batches, len(batches.sources), n_best=1)
        return [best[0][1] for best in found]

    def search(self, variables, batch: Batch, **options) -> "BeamResult":
        """Search for the translations of a batch; options as of nets.decoding.beam_search."""
        from nets.decoding.beam import beam_search

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
            "max_length": 3 * self.config.max_length // 2,
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
        from experiments.translation.pictures import draw_attention

        return {**shown, "attention": draw_attention(batch, found, rows, self.source, self.target)}
