"""Skip-gram word vectors: the vector of a word predicts the words around it.

Reproduces: Mikolov et al. 2013, "Distributed representations of words and phrases": skip-gram with
softmax, hierarchical softmax (Huffman tree) or negative sampling, and subsampled frequent words.

    python -m experiments.word2vec --workdir=runs/words
    python -m experiments.word2vec --workdir=runs/ptb --config.dataset=words:FOLDER
    python -m experiments.word2vec --workdir=runs/words --mode=ask
    echo parser | python -m experiments.word2vec --workdir=runs/words --mode=neighbours
    python -m experiments.word2vec --workdir=runs/words --mode=save --config.save_to=words.bin

--mode=ask reads a question per line: "king - man + woman" and "king" are answered with the nearest
words, "cat ~ dog" with a cosine. --mode=neighbours reads single words.

A step reads config.batch_size blocks of text. All pairs of a block share its negative samples,
which count as config.negatives samples for each pair. The learning rate is that of a single pair,
as in the authors' program.

Data: python_docs (comments and docstrings of Python's library; the default), words:FOLDER with
train, valid and test files, text:PATH, or a prepared dataset of texts. Measured: the first row of
A6 in experiments/README.md.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.text.analogies import normalized
from data.text.skipgram import Blocks, EvaluationBlocks, TrainingBlocks, keep_probability, noise_cdf
from data.text.words import RARE, WordVocabulary, load_words
from experiments.common.pretrained import pretrained_tables, vectors
from experiments.language.vectors import WordTests, neighbours_text
from nets.language.huffman import huffman_tree
from nets.language.skipgram import SkipGram, context_mask, path_log_probabilities
from train import cli
from train.config import RunConfig, option
from train.task import Assets, Experiment, Mean, Task

MODES = {
    "ask": "experiments.language.ask:ask",
    "save": "experiments.language.vectors:save",
    "neighbours": "experiments.language.vectors:nearest",
}
VOCABULARY = "vocabulary"  # name of the asset
OBJECTIVES = ("negative_sampling", "hierarchical", "softmax")
SOFTMAX_PAIRS = 500  # maximum pairs of a step whose gradients add up; more are averaged


@dataclass(slots=True, kw_only=True)
class Config(RunConfig):
    """Settings of word vectors."""

    TINY: ClassVar = {
        "dataset": "text:{data}/argparse.txt",
        "embedding": 8,
        "window": 8,
        "block_size": 16,
    }

    dataset: str = RunConfig.changed(
        "dataset",
        "python_docs",
        "words:FOLDER, text:PATH, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH, arrow:PATH or a "
        "TFDS dataset of texts",
    )
    subsample: float = option(
        1e-3, "subsampling threshold of frequent words", note="0: none", group="data", minimum=0
    )
    min_count: int = option(5, "minimum count of a word in the vocabulary", group="data", minimum=1)
    vectors: str = vectors()
    rare: str = option("drop", "treatment of words below min_count", group="data", choices=RARE)
    block_size: int = option(32, "words per block of running text", group="data", minimum=1)
    batch_size: int = RunConfig.changed("batch_size", 32, "in blocks")
    wordsim: str = option(
        "", "file of word pairs with similarity ratings, for evaluation", group="data"
    )
    analogies: str = option("", "file of analogies, for evaluation", group="data")

    objective: str = option("negative_sampling", "training objective", choices=OBJECTIVES)
    embedding: int = option(100, "embedding dimension", minimum=2)
    window: int = option(5, "maximum distance of a context word", minimum=1)
    negatives: int = option(5, "negative samples per pair", minimum=1)
    shared_negatives: int = option(
        32, "negative samples drawn per block, shared by its pairs", minimum=1
    )

    steps: int = RunConfig.changed("steps", 3000)
    learning_rate: float = option(
        0.025, "peak learning rate", note="of a single pair", group="optimizer", above=0
    )
    decay_factor: float = option(
        1e-3,
        "learning-rate decay factor",
        note="final rate / peak rate of the cosine schedule",
        group="optimizer",
        minimum=0,
        maximum=1,
    )
    max_row_updates: int = option(
        16,
        "maximum number of updates of a row that are summed in a step",
        note="a longer sum is scaled down to this number",
        group="optimizer",
        minimum=1,
    )

    save_to: str = option(
        "",
        "word-vector file to write",
        note="binary if it ends in .bin; default: RUN/vectors.txt",
        modes=("save",),
        output=True,
    )
    neighbours: int = option(
        8, "number of neighbours to print", modes=("ask", "neighbours"), minimum=1
    )
    question: str = option(
        "",
        "question about words, such as 'king - man + woman', 'king' or 'cat ~ dog'",
        note="default: the lines of the input",
        modes=("ask",),
    )


def softmax_nats(scores, pairs, targets):
    """Sum over pairs of -log P(word t | word i), P = exp(s_t) / sum_v exp(s_v).

    scores: float32 [B, I, V], products of the vector of word i with the output vectors. pairs:
    float32 [B, I, C], 1 where word i of a block is in the window of word t. targets: int32 [B, C].
    """
    log_p = jax.nn.log_softmax(scores)
    return -(pairs * jnp.take_along_axis(log_p, targets[:, None], axis=2)).sum()


def hierarchical_nats(scores, pairs, branches):
    """Sum over pairs of -log P(path to word t | word i).

    scores: float32 [B, I, C * L], of the inner nodes on the paths. branches: float32 [B, C, L].
    """
    paths = path_log_probabilities(scores.reshape(*pairs.shape, -1), branches[:, None])
    return -(pairs * paths).sum()


def noise_nats(scores, pairs, targets, noise, negatives: int):
    """Sum over pairs of -log sigmoid(s_t) - (k / N) sum_n [n is not t] log sigmoid(-s_n).

    scores: float32 [B, I, C + N], of the targets and the noise words. noise: int32 [B, N], the N
    noise words of a block, which replace the k = `negatives` noise words that each pair would draw.
    """
    target_scores, noise_scores = jnp.split(scores, [targets.shape[1]], axis=2)
    same = (targets[:, :, None] == noise[:, None]).astype(jnp.float32)
    counts = pairs.sum(axis=2, keepdims=True) - pairs @ same
    share = negatives / noise.shape[1]
    return (pairs * jax.nn.softplus(-target_scores)).sum() + share * (
        counts * jax.nn.softplus(noise_scores)
    ).sum()


class PredictContext(Task):
    """Mean over pairs of -log P(word | context word), or of the objective that approximates it.

    tests: tests of the word vectors, beside the loss.
    """

    def __init__(self, vocabulary: WordVocabulary, config: Config, tests: WordTests | None = None):
        self.vocabulary, self.config = vocabulary, config
        self.tests = tests or WordTests(None, None)
        hierarchical = config.objective == "hierarchical"
        self.tree = huffman_tree(vocabulary.counts.tolist()) if hierarchical else None
        self.headline = "wordsim" if config.wordsim else "loss"
        self.model = SkipGram(
            vocabulary=len(vocabulary),
            outputs=len(vocabulary) - hierarchical,  # words or inner nodes
            features=config.embedding,
            dtype=jnp.dtype(config.precision),
        )

    def rows(self, batch):
        """Rows of both tables; with the softmax, only of the words, as it reads all outputs."""
        names = ("words",) if self.config.objective == "softmax" else ("words", "outputs")
        return {name: batch[name] for name in names}

    def inputs(self, batch):
        """Words, outputs to score, and the factors that scale the gradients of both."""
        if self.config.objective == "softmax":
            return batch["words"], None, batch["word_share"]
        return tuple(batch[name] for name in ("words", "outputs", "word_share", "output_share"))

    def means(self, outputs, batch):
        """Loss per pair in nats."""
        pairs = context_mask(batch["reach"], batch["sentence"])
        targets = batch["words"][:, self.config.window : -self.config.window]
        if self.config.objective == "softmax":
            nats = softmax_nats(outputs, pairs, targets)
        elif self.tree:
            nats = hierarchical_nats(outputs, pairs, jnp.asarray(self.tree.branches)[targets])
        else:
            nats = noise_nats(outputs, pairs, targets, batch["noise"], self.config.negatives)
        return {"loss": Mean(nats, pairs.sum())}

    def scores(self, predict, batches):
        """Scores of the word vectors in the similarity and analogy tests, if any.

        They are the same for every held-out text. Only the test text has them, so nothing is chosen
        by them.
        """
        final = batches.name == "test"
        return self.tests.scores(predict.variables["params"]["words"]) if final else {}

    def figures(self, predict, batches):
        """Frequent words in a plane, and the nearest neighbours of some of them."""
        from experiments.language.word_plane import plane

        vectors = np.asarray(predict.variables["params"]["words"])
        ids = np.unique(np.geomspace(1, len(vectors), 40).astype(int)) - 1
        lines = neighbours_text(self, normalized(vectors), ids.tolist())
        return {"plane": plane(self.vocabulary, vectors), "neighbours": lines}


def make_task(config: Config, assets: Assets) -> PredictContext:
    """Make the network for the words of the vocabulary."""
    return PredictContext(WordVocabulary.from_bytes(assets[VOCABULARY]), config)


def build(config: Config) -> Experiment:
    """Read the corpus and the tests; make the network, the batches and the task."""
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = WordVocabulary.from_sentences(corpus.train, config.min_count, config.rare)
    tests = WordTests.from_files(config.wordsim, config.analogies, vocabulary)
    task = PredictContext(vocabulary, config, tests)
    blocks = Blocks(
        size=config.block_size,
        window=config.window,
        noise=config.shared_negatives if config.objective == "negative_sampling" else 0,
        cdf=noise_cdf(vocabulary.counts),
        limit=config.max_row_updates,
        paths=np.where(task.tree.branches, task.tree.nodes, -1) if task.tree else None,
    )
    keep = keep_probability(vocabulary.counts, config.subsample)
    encode = partial(vocabulary.encode, rare=config.rare)
    train = TrainingBlocks(encode(corpus.train), keep, blocks, config.batch_size, config.seed)
    held_out = partial(EvaluationBlocks, keep=keep, blocks=blocks, batch_size=config.batch_size)
    # scales the gradient from a mean to a sum over pairs; a longer sum overshoots with the softmax
    pairs = min(train.pairs_per_step, SOFTMAX_PAIRS if config.objective == "softmax" else math.inf)
    schedule = optax.cosine_decay_schedule(
        config.learning_rate, config.steps, alpha=config.decay_factor
    )
    return Experiment(
        task=task,
        optimizer=optax.chain(optax.sgd(schedule), optax.scale(pairs)),
        train=train,
        evals={name: held_out(encode(text), name=name) for name, text in corpus.held_out.items()},
        provenance={
            "dataset": config.dataset.split(":")[0],
            "sha256": corpus.sha256,
            "words": len(train.text.ids),
            "vocabulary": len(vocabulary),
            "steps a pass": train.steps,
            **tests.sizes,
        },
        assets={VOCABULARY: vocabulary.to_bytes()},
        schedule=schedule,
        pretrained=pretrained_tables(config, vocabulary.words, "params/words"),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
