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

import jax.numpy as jnp
import numpy as np
import optax

from data.text.skipgram import Blocks, EvaluationBlocks, TrainingBlocks, keep_probability, noise_cdf
from data.text.words import RARE, WordVocabulary, load_words
from experiments.language.skipgram_loss import hierarchical_nats, noise_nats, softmax_nats
from experiments.language.vectors import MODES, WordTests, neighbours_text, normalized, plane
from nets.language.huffman import huffman_tree
from nets.language.skipgram import SkipGram, context_mask
from train import cli
from train.config import Config as SharedConfig
from train.config import changed, option
from train.optimizer import make_optimizer
from train.task import Experiment, Mean, Task

OBJECTIVES = ("negative_sampling", "hierarchical", "softmax")
SOFTMAX_PAIRS = 500  # whose gradients add up, as those of `limit` occurrences of a row do


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of word vectors."""

    dataset: str = option("python_docs", "words:FOLDER, text:PATH, a prepared dataset with text")
    objective: str = option("negative_sampling", "", choices=OBJECTIVES)
    features: int = option(100, "of a word vector", minimum=2)
    window: int = option(5, "words to each side at most", minimum=1)
    negatives: int = option(5, "noise words that a pair counts", minimum=1)
    noise: int = option(32, "noise words drawn for a block", minimum=1)
    subsample: float = option(1e-3, "share from which words are left out; 0: none", minimum=0)
    minimum: int = option(5, "occurrences of a word of the vocabulary", minimum=1)
    rare: str = option("drop", "what becomes of rarer words", choices=RARE)
    block: int = option(32, "words of a block", minimum=1)
    limit: int = option(16, "occurrences of a row in a step whose updates add up", minimum=1)
    wordsim: str = option("", "file of pairs with a similarity, scored by rank correlation")
    analogies: str = option("", "file of analogies, scored by the share that is right")
    vectors: str = option("", "file that --mode=save writes, .bin: binary", volatile=True)
    neighbours: int = option(8, "shown of a word", minimum=1, volatile=True)

    batch_size: int = option(32, "blocks in a step", minimum=1)
    steps: int = changed("steps", 3000)
    learning_rate: float = option(0.025, "of a pair, its highest value", above=0)
    decay_factor: float = option(1e-3, "last rate over the first", minimum=0, maximum=1)
    optimizer: str = option("sgd", "no other one updates rows alone", choices=("sgd",))
    averaging: float = option(0.0, "none: it would read whole tables", minimum=0, maximum=0)
    weight_decay: float = option(0.0, "none: a row would decay at each use", minimum=0, maximum=0)
    clip_norm: float = option(0.0, "none: a row's gradient comes in parts", minimum=0, maximum=0)


class PredictContext(Task):
    """Mean over pairs of -log P(word | a word in whose window it is), or what stands for it."""

    def __init__(self, vocabulary: WordVocabulary, config: Config, tests: WordTests, turns):
        self.vocabulary, self.config, self.tests, self.turns = vocabulary, config, tests, turns
        self.headline = "wordsim" if config.wordsim else "loss"
        outputs = len(vocabulary) - (config.objective == "hierarchical")  # words or inner nodes
        size = (len(vocabulary), outputs, config.features)
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
        vectors = np.asarray(predict.variables["params"]["words"])
        some = np.unique(np.geomspace(1, len(vectors), 40).astype(int)) - 1
        lines = neighbours_text(self, normalized(vectors), some.tolist())
        return {"plane": plane(self.vocabulary, vectors), "neighbours": lines}


def build(config: Config) -> Experiment:
    """Read corpus and tests; make vocabulary, blocks and task."""
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = WordVocabulary.of(corpus.train, config.minimum, config.rare)
    noise = config.noise if config.objective == "negative_sampling" else 0
    tree = huffman_tree(vocabulary.counts.tolist())
    paths = np.where(tree.branches, tree.nodes, -1) if config.objective == "hierarchical" else None
    size, cdf = (config.block, config.window, noise), noise_cdf(vocabulary.counts)
    blocks = Blocks(*size, cdf, config.limit, paths)
    keep = keep_probability(vocabulary.counts, config.subsample)
    encode = partial(vocabulary.encode, rare=config.rare)
    train = TrainingBlocks(encode(corpus.train), keep, blocks, config.batch_size, config.seed)
    held_out = partial(EvaluationBlocks, keep=keep, blocks=blocks, batch_size=config.batch_size)
    tests = WordTests.of(config.wordsim, config.analogies, vocabulary)
    # the step's gradient is a mean over pairs; of a softmax, more of them at once overshoot
    pairs = min(train.pairs_per_step, SOFTMAX_PAIRS if config.objective == "softmax" else math.inf)
    return Experiment(
        task=PredictContext(vocabulary, config, tests, tree.branches),
        optimizer=optax.chain(make_optimizer(config), optax.scale(pairs)),
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
