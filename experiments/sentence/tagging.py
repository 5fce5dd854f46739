"""What taggers share: settings, the network, the task, its scores and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.buckets import EvaluationBuckets, TrainingBuckets, restore_order
from data.sentences.tag_batches import Vocabularies
from data.sentences.tagged import Sentence, TaggedCorpus, is_bio, load_tagged, split_words
from experiments.sentence.spans import span_scores
from nets.recurrent.stack import DIRECTIONS, UNITS, DeepRecurrent
from nets.sentence.char_encoder import CHAR_ENCODERS, CharEncoder
from nets.sentence.encoder import SentenceEncoder
from nets.sentence.linear_crf import log_prob, viterbi
from nets.sentence.tagger import OUTPUTS, Tagger
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Batch, Experiment, Mean, Task

MODES = {"tag": "experiments.sentence.tag_modes:tag"}
SHAPES_OF_TEXT = tuple((8 * 2**k,) for k in range(5))


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the data and the network of every tagger."""

    TINY: ClassVar = {
        "dataset": "conll:{data}/tagged",
        "hidden": 8,
        "embedding": 8,
        "layers": 1,  # both taggers then have the same network, compiled once
        "char_encoder": "none",
        "output": "softmax",
    }

    dataset: str = OptimizerConfig.changed(
        "dataset",
        "python_tokens",
        "python_tokens, conll:FOLDER, conllu:FOLDER, spans:FOLDER or a TFDS treebank",
    )
    tag_column: int = option(
        0, "column of the tag", note="conll:FOLDER; from 1; 0: the last", group="data", minimum=0
    )
    train_chunks: int = option(
        6000, "training chunks", note="python_tokens", group="data", minimum=1
    )
    chunk_length: int = option(
        128, "length of a chunk, in characters", note="python_tokens", group="data", minimum=2
    )
    min_count: int = option(2, "minimum count of a vocabulary word", group="data", minimum=1)
    normalize_words: bool = option(True, "map words to lower case and digits to 0", group="data")
    max_length: int = option(
        160,
        "maximum length of a training sequence",
        note="in words; longer sentences are left out",
        group="data",
        minimum=1,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 32, "in sentences")

    embedding: int = option(100, "embedding dimension", minimum=1)
    char_encoder: str = option(
        "convolution", "encoder of the characters of a word", choices=(*CHAR_ENCODERS, "none")
    )
    max_characters: int = option(
        16, "characters of a word to read", note="the middle of longer words is cut", minimum=2
    )
    char_features: int = option(
        50, "features of a word's characters", note="even if recurrent", minimum=2
    )
    cell: str = option("lstm", "recurrent cell", choices=UNITS)
    hidden: int = option(100, "hidden units per layer", note="per direction", minimum=1)
    layers: int = option(1, "recurrent layers", minimum=1)
    directions: str = option("both", "reading directions", choices=DIRECTIONS)
    output: str = option(
        "crf", "output layer: a linear-chain CRF or a softmax per word", choices=OUTPUTS
    )
    dropout: float = option(
        0.0, "dropout probability", note="around each layer", minimum=0, maximum=0.95
    )
    variational_dropout: bool = option(False, "use one dropout mask for all time steps")
    word_dropout: float = option(
        0.0,
        "dropout probability of whole words",
        note="their characters are kept",
        minimum=0,
        maximum=0.95,
    )

    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 5.0)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))


def make_network(config: Config, vocabularies: Vocabularies, hidden: int) -> Tagger:
    """Network of `hidden` units a layer and direction."""
    dtype = jnp.dtype(config.precision)
    core = DeepRecurrent(
        hidden,
        config.layers,
        config.cell,
        config.directions,
        config.dropout,
        config.variational_dropout,
        dtype=dtype,
    )
    spelling = None
    if letters := vocabularies.letter_ids:
        features, kind = config.char_features, config.char_encoder
        if kind == "recurrent" and features % 2:
            raise ConfigError(f"config.char_features must be even, got {features}")
        spelling = CharEncoder(letters, features=features, kind=kind, dtype=dtype)
    words = vocabularies.word_ids, config.embedding
    encoder = SentenceEncoder(core, *words, spelling, config.word_dropout, dtype)
    return Tagger(encoder, len(vocabularies.tags), config.output)


def parameters_of(network: Tagger) -> int:
    """Parameters of a network without those of its tables of words and letters."""
    word = jnp.zeros((1, 1), jnp.int32)
    spelling = word[..., None] if network.encoder.spelling else None
    init = partial(network.init, jax.random.key(0), word, spelling, jnp.ones(1, jnp.int32))
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(init)["params"])
    return sum(leaf.size for path, leaf in leaves if "embed" not in jax.tree_util.keystr(path))


@dataclass(frozen=True)
class HeldOut:
    """Batches of sentences, with the sentences themselves."""

    batches: EvaluationBuckets
    sentences: Sequence[Sentence]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        return iter(self.batches)


class Tag(Task):
    """Mean of -log P(tags of a sentence given its words), in nats a word."""

    def __init__(
        self, model: Tagger, vocabularies: Vocabularies, by_character: bool, headline: str
    ):
        self.model, self.vocabularies = model, vocabularies
        self.by_character, self.headline = by_character, headline

    def inputs(self, batch, carry):
        """Words, their spellings where they are read, and the lengths of the sentences."""
        return batch["words"], batch.get("spellings"), batch["lengths"]

    def means(self, outputs, batch):
        """Loss, and the share of words with the right tag on the best path."""
        nats = -log_prob(outputs, batch["tags"], batch["lengths"])
        best, _ = viterbi(outputs, batch["lengths"])
        words = batch["lengths"].sum().astype(jnp.float32)
        right = best == batch["tags"]
        return {"loss": Mean(nats.sum(), words), "accuracy": Mean.from_values(right, batch["mask"])}

    def scores(self, predict, batches):
        """Precision, recall and F1 of spans and F1 of overlaps, where the tags are of spans."""
        if not is_bio(self.vocabularies.tags):
            return {}
        found = self.best_tags(predict, batches, len(batches.sentences))
        true = (sentence.tags for sentence in batches.sentences)
        scores = span_scores(zip(true, found, strict=True))
        return {key: scores[key] for key in scores if key.startswith("span") or key[-2:] == "f1"}

    def best_tags(self, predict, batches, count: int) -> list[list[str]]:
        """Tags on the best path of each of `count` sentences in batches, in their order."""
        names = self.vocabularies.tags

        def answer(batch):
            best = self._best(predict(batch)[0], batch["lengths"])
            for row, length in zip(np.asarray(best), batch["lengths"], strict=True):
                yield [names[i] for i in row[:length]]

        return restore_order(batches, count, answer)

    @partial(jax.jit, static_argnums=0)
    def _best(self, chain, lengths):
        return viterbi(chain, lengths)[0]

    def tag_text(self, predict, text: str) -> list[tuple[Sequence[str], list[str]]]:
        """(words, tags) of each line of a text, or of all its characters at once."""
        if self.by_character:
            parts: list[Any] = [text] if text else []
        else:
            parts = [words for line in text.split("\n") if (words := split_words(line))]
        blank = [Sentence(words, self.vocabularies.tags[:1] * len(words)) for words in parts]
        examples = self.vocabularies.encode(blank)
        buckets = EvaluationBuckets(examples, min(16, len(parts)) or 1, SHAPES_OF_TEXT)
        return list(zip(parts, self.best_tags(predict, buckets, len(parts)), strict=True))

    def figures(self, predict, batches):
        """Return the confusion matrix, and sentences with their tags and mistakes in colour."""
        from experiments.common.pictures import confusion_picture
        from experiments.sentence.tag_sheet import tag_sheet

        found = self.best_tags(predict, batches, len(batches.sentences))
        number = {tag: i for i, tag in enumerate(self.vocabularies.tags)}
        true = np.array([number[tag] for _, tags in batches.sentences for tag in tags])
        guesses = np.array([number[tag] for tags in found for tag in tags])
        return {
            "confusion": confusion_picture(true, guesses, self.vocabularies.tags),
            "sentences": tag_sheet(batches.sentences, found, self.by_character),
        }


def read_corpus(config: Config) -> tuple[TaggedCorpus, Vocabularies]:
    """Tagged sentences, and the vocabularies of those to train on."""
    corpus = load_tagged(
        config.dataset, config.data_dir, config.tag_column, config.train_chunks, config.chunk_length
    )
    spelled = config.char_encoder != "none" and not corpus.by_character
    fold = config.normalize_words and not corpus.by_character
    letters = config.max_characters if spelled else 0
    return corpus, Vocabularies.from_corpus(corpus, config.min_count, fold, letters)


def make_experiment(
    network: Tagger,
    corpus: TaggedCorpus,
    vocabularies: Vocabularies,
    config: Config,
    headline: str,
) -> Experiment:
    """Batches of a corpus, and the task of a network; headline: the metric of tables."""
    task = Tag(network, vocabularies, corpus.by_character, headline)
    examples = vocabularies.encode(corpus.train)
    train = TrainingBuckets(examples, config.batch_size, config.seed, config.max_length)
    held_out = {"validation": corpus.validation, "test": corpus.test}
    evals = {
        name: HeldOut(
            EvaluationBuckets(vocabularies.encode(part), config.batch_size, train.shapes), part
        )
        for name, part in held_out.items()
    }
    sizes = {name: len(part) for name, part in {"train": corpus.train, **held_out}.items()}
    provenance = {
        "dataset": config.dataset.split(":")[0],
        "sentences": sizes,
        "too_long": train.too_long,
        "tags": len(vocabularies.tags),
        "words": vocabularies.word_ids,
        "sha256": corpus.sha256,
        **corpus.notes,
    }
    return Experiment(task, make_optimizer(config), train, evals, provenance)
