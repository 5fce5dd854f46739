"""Word vectors by skip-gram: from the vector of a word, the words around it are predicted.

Reproduces: Mikolov et al. 2013, "Distributed representations of words and phrases", in three forms:
softmax, hierarchical softmax (a Huffman tree), negative sampling; frequent words are subsampled.

    python -m experiments.word2vec --workdir=runs/words
    python -m experiments.word2vec --workdir=runs/ptb --config.dataset=words:FOLDER
    echo parser | python -m experiments.word2vec --workdir=runs/words --mode=neighbours
    python -m experiments.word2vec --workdir=runs/words --mode=save --config.vectors=words.bin

A step reads config.batch_size blocks of text at once. Noise words are drawn for a block, and each
pair counts config.negatives of them. The rate is that of one pair, as in the authors' program.

Data: python_docs (prose of Python's library), words:FOLDER with train, valid and test files,
text:PATH, or a prepared dataset with text. Measured: the first row of A6 in experiments/README.md.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import optax

from data.text.skipgram import Blocks, EvaluationBlocks, TrainingBlocks, keep_probability, noise_cdf
from data.text.words import RARE, WordVocabulary, load_words
from experiments.language.skipgram_loss import hierarchical_nats, noise_nats, softmax_nats
from experiments.language.vectors import WordTests, neighbours_text, normalized
from nets.language.huffman import huffman_tree
from nets.language.skipgram import SkipGram, context_mask
from train import cli
from train.config import RunConfig, option
from train.task import Experiment, Mean, Task

MODES = {
    "save": "experiments.language.vectors:save",
    "neighbours": "experiments.language.vectors:nearest",
}
OBJECTIVES = ("negative_sampling", "hierarchical", "softmax")
SOFTMAX_PAIRS = 500  # whose gradients add up, as those of `limit` occurrences of a row do


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
        "dataset", "python_docs", "words:FOLDER, text:PATH or a TFDS dataset of texts"
    )
    subsample: float = option(
        1e-3, "subsampling threshold of frequent words", note="0: none", group="data", minimum=0
    )
    min_count: int = option(5, "minimum count of a vocabulary word", group="data", minimum=1)
    rare: str = option("drop", "treatment of rarer words", group="data", choices=RARE)
    block_size: int = option(32, "words of a block of running text", group="data", minimum=1)
    batch_size: int = RunConfig.changed("batch_size", 32, "in blocks")
    wordsim: str = option("", "file of rated word pairs to score", group="data")
    analogies: str = option("", "file of analogies to score", group="data")

    objective: str = option("negative_sampling", "training objective", choices=OBJECTIVES)
    embedding: int = option(100, "embedding dimension", minimum=2)
    window: int = option(5, "maximum distance of a context word", minimum=1)
    negatives: int = option(5, "negative samples per pair", minimum=1)
    shared_negatives: int = option(32, "negative samples drawn per block", minimum=1)

    steps: int = RunConfig.changed("steps", 3000)
    learning_rate: float = option(
        0.025, "peak learning rate", note="of one pair", group="optimizer", above=0
    )
    decay_factor: float = option(
        1e-3,
        "learning-rate decay",
        note="final over peak rate of the cosine schedule",
        group="optimizer",
        minimum=0,
        maximum=1,
    )
    max_row_updates: int = option(
        16,
        "maximum updates of one row that add up in a step",
        note="more are averaged",
        group="optimizer",
        minimum=1,
    )

    vectors: str = option("", "word-vector file to write", note=".bin: binary", modes=("save",))
    neighbours: int = option(8, "neighbours to print", modes=("neighbours",), minimum=1)


class PredictContext(Task):
    """Mean over pairs of -log P(word | a word in whose window it is), or what stands for it."""

    def __init__(self, vocabulary: WordVocabulary, config: Config, tests: WordTests, turns):
        self.vocabulary, self.config, self.tests, self.turns = vocabulary, config, tests, turns
        self.headline = "wordsim" if config.wordsim else "loss"
        outputs = len(vocabulary) - (config.objective == "hierarchical")  # words or inner nodes
        size = (len(vocabulary), outputs, config.embedding)
        self.model = SkipGram(*size, jnp.dtype(config.precision))

    def rows(self, batch):
        """All that is read, but for the softmax over the whole table."""
        softmax = self.config.objective == "softmax"
        return {name: batch[name] for name in ("words", "outputs")[: 1 if softmax else 2]}

    def inputs(self, batch, carry):
        """Words, the output vectors that they are multiplied with, shares of their gradients."""
        if self.config.objective == "softmax":
            return batch["words"], None, batch["word_share"]
        return tuple(batch[name] for name in ("words", "outputs", "word_share", "output_share"))

    def means(self, outputs, batch):
        """Nats of a pair."""
        pairs = context_mask(batch["reach"], batch["sentence"])
        targets = batch["words"][:, self.config.window : -self.config.window]
        if self.config.objective == "softmax":
            nats = softmax_nats(outputs, pairs, targets)
        elif self.config.objective == "hierarchical":
            nats = hierarchical_nats(outputs, pairs, jnp.asarray(self.turns)[targets])
        else:
            nats = noise_nats(outputs, pairs, targets, batch["noise"], self.config.negatives)
        return {"loss": Mean(nats, pairs.sum())}

    def scores(self, predict, batches):
        """What the tests of the config say of the word vectors."""
        return self.tests.scores(predict.variables["params"]["words"])

    def figures(self, predict, batches):
        """Frequent words in a plane, and what lies near to some of them."""
        from experiments.language.word_plane import plane

        vectors = np.asarray(predict.variables["params"]["words"])
        some = np.unique(np.geomspace(1, len(vectors), 40).astype(int)) - 1
        lines = neighbours_text(self, normalized(vectors), some.tolist())
        return {"plane": plane(self.vocabulary, vectors), "neighbours": lines}


def build(config: Config) -> Experiment:
    """Read corpus and tests; make vocabulary, blocks and task."""
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = WordVocabulary.from_sentences(corpus.train, config.min_count, config.rare)
    noise = config.shared_negatives if config.objective == "negative_sampling" else 0
    tree = huffman_tree(vocabulary.counts.tolist())
    paths = np.where(tree.branches, tree.nodes, -1) if config.objective == "hierarchical" else None
    size, cdf = (config.block_size, config.window, noise), noise_cdf(vocabulary.counts)
    blocks = Blocks(*size, cdf, config.max_row_updates, paths)
    keep = keep_probability(vocabulary.counts, config.subsample)
    encode = partial(vocabulary.encode, rare=config.rare)
    train = TrainingBlocks(encode(corpus.train), keep, blocks, config.batch_size, config.seed)
    held_out = partial(EvaluationBlocks, keep=keep, blocks=blocks, batch_size=config.batch_size)
    tests = WordTests.of(config.wordsim, config.analogies, vocabulary)
    # the step's gradient is a mean over pairs; of a softmax, more of them at once overshoot
    pairs = min(train.pairs_per_step, SOFTMAX_PAIRS if config.objective == "softmax" else math.inf)
    schedule = optax.cosine_decay_schedule(
        config.learning_rate, config.steps, alpha=config.decay_factor
    )
    return Experiment(
        task=PredictContext(vocabulary, config, tests, tree.branches),
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
    )


if __name__ == "__main__":
    cli.run(Config, build, MODES)
