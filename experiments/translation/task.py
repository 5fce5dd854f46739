"""Translation: settings, the network, and the task with its search, scores and pictures.

Modules of data/ are imported where they are used: --help loads no reader and no tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.text.vocabulary import BEGIN, END, KINDS, Vocabulary
from experiments.common.held_out import HeldOut
from experiments.common.search import check_n_best
from experiments.translation.settings import SearchConfig
from nets.recurrent.variants import ALL_CELLS
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from train.config import ConfigError, option
from train.task import Batch, Mean, Task

if TYPE_CHECKING:
    from data.buckets import EvaluationBuckets
    from experiments.translation.search import Hypothesis
    from nets.decoding.beam import BeamResult
    from nets.decoding.step_model import StepModel

INPUT_BATCH, INPUT_SHAPES = 16, tuple((8 * 2**k, 4) for k in range(5))  # of standard input


@dataclass(slots=True, kw_only=True)
class Config(SearchConfig):
    """Settings of every translation experiment."""

    TINY: ClassVar = {
        "heldout_examples": 10,
        "max_length": 8,
        "buckets": 1,
        "hidden": 8,
        "embedding": 8,
        "beam_size": 2,
    }

    test_set: str = option(
        "", "name of the test set", note="needed if pairs:FOLDER has several", group="data"
    )
    tokenizer: str = option(
        "bpe",
        "tokenizer of parallel text",
        note="dates are always split into characters",
        group="data",
        choices=KINDS,
    )
    vocab_size: int = option(
        6000, "maximum vocabulary size", note="only with parallel text", group="data", minimum=8
    )
    bleu_tokenizer: str = option(
        "",
        "tokenizer of the BLEU score, as sacrebleu names it",
        note="default: zh for Chinese, char for Japanese and Thai, otherwise 13a",
        group="data",
        choices=("", "13a", "char", "flores200", "intl", "ja-mecab", "ko-mecab", "zh"),
    )
    batch_size: int = SearchConfig.changed("batch_size", 64, "in sentence pairs")
    max_length: int = option(
        60,
        "maximum length of a training sequence",
        note="in tokens; longer pairs are left out",
        group="data",
        minimum=4,
    )
    buckets: int = option(
        5,
        "maximum number of length buckets, each with its own batch shape",
        group="data",
        minimum=1,
    )
    format_noise: float = option(
        0.1,
        "fraction of dates with altered case or spacing",
        note="only with dates",
        group="data",
        minimum=0,
        maximum=1,
    )
    heldout_examples: int = option(
        1000, "examples per held-out set", note="only with dates", group="data", minimum=1
    )

    cell: str = option("gru", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(
        128, "hidden units per layer", note="per direction in the encoder", minimum=1
    )
    embedding: int = option(128, "embedding dimension", minimum=1)
    layers: int = option(
        1, "number of recurrent layers", note="of the encoder and of the decoder", minimum=1
    )
    bidirectional: bool = option(True, "read the source in both directions")
    reverse_source: bool = option(
        False, "read the source in reverse order", note="only with bidirectional=False"
    )
    attention: str = option(
        "additive", "attention score function", choices=("additive", "dot", "general", "none")
    )
    attention_window: int = option(
        0,
        "half-width of the local attention window, in tokens",
        note="0: global attention",
        minimum=0,
    )
    input_feeding: bool = option(False, "feed the attentional state to the next decoder step")
    bridge: str = option(
        "dense",
        "how the initial decoder state is computed from the encoder state",
        choices=("dense", "copy", "zeros"),
    )
    tie_embeddings: bool = option(False, "share the embedding matrix with the output layer")
    dropout: float = option(
        0.0, "dropout probability", note="of embeddings and layer outputs", minimum=0, maximum=0.95
    )
    word_dropout: float = option(
        0.0, "dropout probability of whole words", note="of input tokens", minimum=0, maximum=0.95
    )
    label_smoothing: float = option(0.0, "label smoothing", minimum=0, below=1)
    scheduled_sampling: float = option(
        0.0,
        "probability that a decoder step in training reads a sampled token",
        minimum=0,
        maximum=1,
    )
    beam_size: int = option(
        4, "beam size of the search", note="1: greedy", free_in_modes=True, minimum=1
    )
    length_penalty: float = option(
        1.0, "alpha of the length penalty ((5 + length) / 6)^alpha", free_in_modes=True
    )

    learning_rate: float = SearchConfig.changed("learning_rate", 3e-3)
    clip_norm: float = SearchConfig.changed("clip_norm", 1.0)
    warmup_steps: int = SearchConfig.changed("warmup_steps", 100)

    picture: str = option(
        "", "image file to write", note="default: RUN/MODE.png", modes=("states",), output=True
    )


def make_network(config: Config, source: int, target: int) -> Seq2Seq:
    """Network for vocabularies of these sizes; ConfigError if settings are incompatible."""
    for name, value in (("attention", "dot"), ("bridge", "copy")):
        if config.bidirectional and getattr(config, name) == value:
            raise ConfigError(f"config.{name}={value} needs config.bidirectional=False")
    if config.input_feeding and config.attention == "none":
        raise ConfigError("config.input_feeding needs attention, got config.attention=none")
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


UNSPACED = {"zh": "zh", "ja": "char", "th": "char"}  # languages without spaces between words


def metrics_of(config: Config, language: str) -> dict[str, Any]:
    """Metrics of sacrebleu by name, for translations into a language, such as "de" or "zh-Hans".

    Raises ConfigError when the tokenizer needs a package, or data, that are not there.
    """
    from sacrebleu.metrics import BLEU, CHRF

    default = UNSPACED.get(language.lower().replace("_", "-").partition("-")[0], "13a")
    tokenizer = config.bleu_tokenizer or default
    try:
        return {"BLEU": BLEU(tokenize=tokenizer), "chrF": CHRF()}
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"config.bleu_tokenizer={tokenizer}: {reason}") from None


def signatures(config: Config, language: str) -> dict[str, str]:
    """Signatures of the metrics of sacrebleu, which include its tokenization and version."""
    formatted = {}
    for name, metric in metrics_of(config, language).items():
        metric.corpus_score(["one"], [["one"]])  # the signature includes the number of references
        formatted[name] = metric.get_signature().format()
    return formatted


class Translate(Task):
    """Mean of -log P(y_t | y_<t, source) over the tokens of all targets."""

    axes: ClassVar = {"source": "b, s", "inputs": "b, t"}

    def __init__(
        self,
        model: Seq2Seq,
        source: Vocabulary,
        target: Vocabulary,
        config: Config,
        language: str,
    ):
        check_n_best(config)
        self.model, self.source, self.target, self.config = model, source, target, config
        self.language = language
        self.headline = "exact" if config.dataset.startswith("dates") else "bleu"

    def inputs(self, batch):
        """Source, its lengths, and the targets shifted by one token."""
        return batch["source"], batch["source_lengths"], batch["inputs"]

    def means(self, outputs, batch):
        """Loss with label smoothing, nats without it, and accuracy, per target token."""
        target_logits = jnp.take_along_axis(outputs, batch["targets"][..., None], axis=-1)[..., 0]
        log_z = jax.nn.logsumexp(outputs, axis=-1)
        smoothing = self.config.label_smoothing
        values = {
            "loss": log_z - (1 - smoothing) * target_logits - smoothing * outputs.mean(axis=-1),
            "nats": log_z - target_logits,
            "accuracy": target_logits >= outputs.max(axis=-1),  # faster than argmax
        }
        return {name: Mean.from_values(value, batch["mask"]) for name, value in values.items()}

    def hypotheses(self, variables, batches, count: int, **options) -> list[list["Hypothesis"]]:
        """Search results of each of `count` sentences, in their original order.

        options: those of `search`.
        """
        from data.buckets import restore_order
        from experiments.translation.search import searched_hypotheses

        def decode(batch):
            return searched_hypotheses(self.target, self.search(variables, batch, **options))

        return restore_order(batches, count, decode)

    def encode(self, variables, sentences: Sequence[str]) -> list[np.ndarray]:
        """Final state [D] of the encoder's last layer for each sentence."""
        from data.buckets import restore_order

        def final_states(batch):
            states = self._final_states(variables, batch["source"], batch["source_lengths"])
            return np.asarray(states)

        return restore_order(self.buckets(sentences), len(sentences), final_states)

    def buckets(self, sentences: Sequence[str]) -> "EvaluationBuckets":
        """Batches of sentences without translations."""
        from data.pairs.batches import source_buckets

        return source_buckets(self.source.encode(sentences), INPUT_BATCH, INPUT_SHAPES)

    @partial(jax.jit, static_argnums=0)
    def _final_states(self, variables, source, lengths):
        def encode(model):
            carry = model.encoder(source, lengths).carries[-1]
            return jnp.concatenate(jax.tree.leaves(carry), axis=-1)

        return nn.apply(encode, self.model)(variables)

    def scores(self, predict, batches):
        """BLEU, chrF, and the fractions of exact matches and of truncated translations.

        References are brought into the normal form of the vocabulary, which translations have.
        """
        best = self.translate(predict.variables, batches)
        translations = [text for _, text, _ in best]
        references = [self.target.normal_form(reference) for _, reference in batches.examples]
        scores = {
            name.lower(): metric.corpus_score(translations, [references]).score
            for name, metric in metrics_of(self.config, self.language).items()
        }
        exact = [a == b for a, b in zip(translations, references, strict=True)]
        means = {"exact": exact, "truncated": [cut for _, _, cut in best]}
        return scores | {name: float(np.mean(values)) for name, values in means.items()}

    def translate(self, variables, batches: HeldOut) -> list["Hypothesis"]:
        """Best translation of each source, in the original order."""
        results = self.hypotheses(variables, batches, len(batches.examples), n_best=1)
        return [hypotheses[0] for hypotheses in results]

    def search(self, variables, batch: Batch, **options) -> "BeamResult":
        """Beam search for the translations of a batch; options: those of `search.search`."""
        from experiments.translation.search import search

        return search(self, variables, batch, **options)

    def step_model(self, variables, batch: Batch) -> "StepModel":
        """Model of the translations of a batch, for the searches of `nets.decoding`."""
        from nets.decoding.step_model import StepModel

        carry, memory = self._start(variables, batch["source"], batch["source_lengths"])
        return StepModel(self._step, variables, carry, BEGIN, END, memory)

    @partial(jax.jit, static_argnums=0)
    def _start(self, variables, source, lengths):
        return self.model.apply(variables, source, lengths, method="start")

    def _step(self, variables, tokens, carry, *memory):
        return self.model.apply(variables, tokens, carry, *memory, method="step")

    def figures(self, predict, batches):
        """Return some translations as text, and a picture of their attention."""
        batch = next(iter(batches))
        attends = self.config.attention != "none"
        # one transfer: on the device, slices of different lengths are compiled one by one
        result = jax.device_get(self.search(predict.variables, batch, return_attention=attends))
        rows = [row for row in range(min(6, len(batch["index"]))) if batch["index"][row] >= 0]
        pairs = [batches.examples[batch["index"][row]] for row in rows]
        best = [self.target.decode(result.tokens[row, 0]) for row in rows]
        figures = {
            "translations": "".join(
                f"source     {source}\ntarget     {target}\nnetwork    {text}\n\n"
                for (source, target), text in zip(pairs, best, strict=True)
            )
        }
        if not attends:
            return figures
        from experiments.translation.pictures import draw_attention

        picture = draw_attention(batch, result, rows, self.source, self.target)
        return {**figures, "attention": picture}
