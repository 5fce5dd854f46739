"""Tagging: settings, the network, and the task with its scores and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.buckets import EvaluationBuckets, TrainingBuckets, restore_order
from data.sentences.schemes import mark_spans
from data.sentences.tag_batches import UNSEEN, Vocabularies
from data.sentences.tag_files import Sentence
from data.sentences.tagged import TaggedCorpus, load_tagged, split_words
from data.text.words import FIRST_WORD
from experiments.common.held_out import HeldOut
from experiments.common.pretrained import pretrained_tables, vectors
from experiments.sentence.constraints import Allowed, allowed_tags, check_corpus
from nets.recurrent.stack import DIRECTIONS, DeepRecurrent
from nets.recurrent.variants import ALL_CELLS
from nets.sentence.char_encoder import CHAR_ENCODERS, CharEncoder
from nets.sentence.encoder import SentenceEncoder
from nets.sentence.linear_crf import FORBIDDEN, log_prob, viterbi
from nets.sentence.tagger import OUTPUTS, Tagger
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment, Mean, Task

MODES = {"tag": "experiments.sentence.tag_modes:tag"}
VOCABULARIES = "vocabularies.json"  # name of the asset
INPUT_SHAPES = tuple((8 * 2**k,) for k in range(5))  # of standard input


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of every tagging experiment."""

    TINY: ClassVar = {
        "dataset": "conll:{data}/tagged",
        "hidden": 8,
        "embedding": 8,
        "layers": 1,  # the same network for both experiments, which is compiled once
        "char_encoder": "none",
        "output": "softmax",
    }

    dataset: str = OptimizerConfig.changed(
        "dataset",
        "python_tokens",
        "python_tokens, conll:FOLDER, conllu:FOLDER, spans:FOLDER or a TFDS treebank",
    )
    tag_column: int = option(
        0,
        "column of the tag",
        note="counted from 1; 0: the last; only with conll:FOLDER",
        group="data",
        minimum=0,
    )
    train_chunks: int = option(
        6000, "number of training chunks", note="only with python_tokens", group="data", minimum=1
    )
    chunk_length: int = option(
        128,
        "length of a chunk, in characters",
        note="only with python_tokens",
        group="data",
        minimum=2,
    )
    min_count: int = option(2, "minimum count of a word in the vocabulary", group="data", minimum=1)
    vectors: str = vectors()
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
        "convolution", "encoder of the characters of each word", choices=(*CHAR_ENCODERS, "none")
    )
    max_characters: int = option(
        16,
        "maximum number of characters read from each word",
        note="longer words lose their middle",
        minimum=2,
    )
    char_features: int = option(
        50,
        "size of the vector computed from a word's characters",
        note="must be even with char_encoder=recurrent",
        minimum=2,
    )
    cell: str = option("lstm", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(100, "hidden units per layer", note="per direction", minimum=1)
    layers: int = option(1, "number of recurrent layers", minimum=1)
    directions: str = option("both", "reading directions", choices=DIRECTIONS)
    output: str = option(
        "crf", "output layer: a linear-chain CRF or a softmax per word", choices=OUTPUTS
    )
    constrain_tags: bool = option(
        False,
        "allow only the sequences of tags that the tagging scheme allows",
        note="only with tags of spans and output=crf",
    )
    dropout: float = option(
        0.0, "dropout probability", note="before and after each layer", minimum=0, maximum=0.95
    )
    variational_dropout: bool = option(False, "use one dropout mask for all time steps")
    word_dropout: float = option(
        0.0,
        "dropout probability of whole words",
        note="the word's characters are kept",
        minimum=0,
        maximum=0.95,
    )

    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 5.0)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))


def make_network(config: Config, vocabularies: Vocabularies, hidden: int) -> Tagger:
    """Network with `hidden` units per layer and direction."""
    dtype = jnp.dtype(config.precision)
    encoder = DeepRecurrent(
        hidden=hidden,
        layers=config.layers,
        cell=config.cell,
        directions=config.directions,
        dropout=config.dropout,
        variational=config.variational_dropout,
        dtype=dtype,
    )
    char_encoder = None
    if characters := vocabularies.letter_ids:
        features, kind = config.char_features, config.char_encoder
        if kind == "recurrent" and features % 2:
            raise ConfigError(
                f"config.char_features must be even with config.char_encoder=recurrent, "
                f"got {features}"
            )
        char_encoder = CharEncoder(characters, features=features, kind=kind, dtype=dtype)
    sentence_encoder = SentenceEncoder(
        core=encoder,
        words=vocabularies.word_ids,
        width=config.embedding,
        spelling=char_encoder,
        word_dropout=config.word_dropout,
        dtype=dtype,
    )
    return Tagger(sentence_encoder, len(vocabularies.tags), config.output)


def parameter_count(network: Tagger) -> int:
    """Number of parameters of a network, not counting its embeddings of words and characters."""
    words = jnp.zeros((1, 1), jnp.int32)
    characters = words[..., None] if network.encoder.spelling else None
    init = partial(network.init, jax.random.key(0), words, characters, jnp.ones(1, jnp.int32))
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(init)["params"])
    return sum(leaf.size for path, leaf in leaves if "embed" not in jax.tree_util.keystr(path))


class Tag(Task):
    """Mean of -log P(tags of a sentence | its words), in nats per word.

    allowed: which tags may follow one another; None: all.
    """

    axes: ClassVar = {"words": "b, t", "spellings": "b, t, ..."}

    def __init__(
        self,
        model: Tagger,
        vocabularies: Vocabularies,
        headline: str,
        allowed: Allowed | None = None,
    ):
        self.model, self.vocabularies, self.headline = model, vocabularies, headline
        self.allowed = allowed

    def inputs(self, batch):
        """Words, their characters if the network reads them, and the lengths of the sentences."""
        return batch["words"], batch.get("spellings"), batch["lengths"]

    def means(self, outputs, batch):
        """Loss, and the fraction of words with the correct tag on the best path.

        Sentences with impossible tags, unseen ones or ones that are not allowed at their place,
        would have an infinite loss, so they are left out of it.
        """
        chain, lengths = self.constrained(outputs), batch["lengths"]
        seen = (batch["tags"] != UNSEEN).all(axis=1)
        nats = -log_prob(chain, jnp.maximum(batch["tags"], 0), lengths)
        possible = seen & (nats < -FORBIDDEN / 2)
        best, _ = viterbi(chain, lengths)
        words = jnp.where(possible, lengths, 0).sum().astype(jnp.float32)
        correct = best == batch["tags"]
        return {
            "loss": Mean(jnp.where(possible, nats, 0).sum(), words),
            "accuracy": Mean.from_values(correct, batch["mask"]),
        }

    def constrained(self, chain):
        """Chain in which the sequences of tags that are not allowed are impossible."""
        return self.allowed.restrict(chain) if self.allowed else chain

    def scores(self, predict, batches):
        """Precision, recall and F1 of spans, and F1 of overlaps, if the tags mark spans."""
        if not mark_spans(self.vocabularies.tags):
            return {}
        from experiments.sentence.spans import span_scores

        predicted = self.best_tags(predict, batches, len(batches.examples))
        true = (sentence.tags for sentence in batches.examples)
        scores = span_scores(zip(true, predicted, strict=True))
        return {key: scores[key] for key in scores if key.startswith("span") or key[-2:] == "f1"}

    def best_tags(self, predict, batches, count: int) -> list[list[str]]:
        """Tags on the best path of each of `count` sentences, in their original order."""
        names = self.vocabularies.tags

        def decode(batch):
            best = self._best(predict(batch)[0], batch["lengths"])
            for row, length in zip(np.asarray(best), batch["lengths"], strict=True):
                yield [names[i] for i in row[:length]]

        return restore_order(batches, count, decode)

    @partial(jax.jit, static_argnums=0)
    def _best(self, chain, lengths):
        return viterbi(self.constrained(chain), lengths)[0]

    def tag_text(self, predict, text: str) -> list[tuple[Sequence[str], list[str]]]:
        """(words, tags) of each line of a text, or of the whole text with tags of characters."""
        if self.vocabularies.by_character:
            texts: list[Any] = [text] if text else []
        else:
            texts = [words for line in text.split("\n") if (words := split_words(line))]
        # with arbitrary tags, which are not read
        sentences = [Sentence(words, self.vocabularies.tags[:1] * len(words)) for words in texts]
        examples = self.vocabularies.encode(sentences)
        buckets = EvaluationBuckets(examples, min(16, len(texts)) or 1, INPUT_SHAPES)
        return list(zip(texts, self.best_tags(predict, buckets, len(texts)), strict=True))

    def figures(self, predict, batches):
        """Return the confusion matrix, and sentences with their tags and errors in colour."""
        from experiments.common.pictures import confusion_picture
        from experiments.sentence.tag_sheet import tag_sheet

        predicted = self.best_tags(predict, batches, len(batches.examples))
        true = [tag for _, tags in batches.examples for tag in tags]
        names = (*self.vocabularies.tags, *sorted({*true} - {*self.vocabularies.tags}))
        tag_ids = {tag: i for i, tag in enumerate(names)}
        true_ids = np.array([tag_ids[tag] for tag in true])
        predicted_ids = np.array([tag_ids[tag] for tags in predicted for tag in tags])
        return {
            "confusion": confusion_picture(true_ids, predicted_ids, names),
            "sentences": tag_sheet(batches.examples, predicted, self.vocabularies.by_character),
        }


def make_tag(config: Config, vocabularies: Vocabularies, hidden: int, headline: str) -> Tag:
    """Task of a network with `hidden` units; ConfigError for settings that do not fit the tags."""
    network = make_network(config, vocabularies, hidden)
    if not config.constrain_tags:
        return Tag(network, vocabularies, headline)
    if config.output != "crf" or not vocabularies.scheme:
        raise ConfigError("config.constrain_tags needs tags of spans and config.output=crf")
    return Tag(network, vocabularies, headline, allowed_tags(vocabularies))


def read_corpus(config: Config) -> tuple[TaggedCorpus, Vocabularies]:
    """Tagged sentences, and the vocabularies of the training sentences."""
    corpus = load_tagged(
        config.dataset, config.data_dir, config.tag_column, config.train_chunks, config.chunk_length
    )
    by_word = not corpus.by_character
    return corpus, Vocabularies.from_corpus(
        corpus,
        minimum=config.min_count,
        fold=config.normalize_words and by_word,
        letters=config.max_characters if config.char_encoder != "none" and by_word else 0,
    )


def make_experiment(
    make_task: Callable[[Any, Assets], Tag],
    corpus: TaggedCorpus,
    vocabularies: Vocabularies,
    config: Config,
) -> Experiment:
    """Experiment of a task on a corpus; its asset is the vocabularies.

    Prints a warning for each unusual thing about the tags.
    """
    assets = {VOCABULARIES: vocabularies.to_bytes()}
    task = make_task(config, assets)
    check_corpus(corpus, config.constrain_tags)
    examples = vocabularies.encode(corpus.train)
    train = TrainingBuckets(examples, config.batch_size, config.seed, config.max_length)
    held_out = {"validation": corpus.validation, "test": corpus.test}
    evals = {
        name: HeldOut(
            EvaluationBuckets(vocabularies.encode(split), config.batch_size, train.shapes), split
        )
        for name, split in held_out.items()
    }
    sizes = {name: len(split) for name, split in {"train": corpus.train, **held_out}.items()}
    provenance = {
        "dataset": config.dataset.split(":")[0],
        "sentences": sizes,
        "too_long": train.too_long,
        "tags": len(vocabularies.tags),
        "scheme": vocabularies.scheme,
        "unseen_tags": sum(count for count, _ in corpus.unseen.values()),
        "words": vocabularies.word_ids,
        "sha256": corpus.sha256,
        **corpus.notes,
    }
    pretrained = pretrained_tables(
        config, vocabularies.words.words, "params/encoder/embed/embedding", first=FIRST_WORD
    )
    optimizer = make_optimizer(config)
    return Experiment(task, optimizer, train, evals, provenance, assets, pretrained=pretrained)
