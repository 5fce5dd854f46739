"""Several language pairs in one network: each language has one encoder and one decoder.

Reproduces: Firat, Cho and Bengio 2016; Dong et al. 2015 (one to many); Luong et al. 2016
(multi-task seq2seq). En-fr and de-fr share the French decoder, en-fr and en-de the English encoder.

    python -m experiments.multiway_nmt --workdir=runs/multiway
    python launch.py --experiment=multiway_nmt --workdir=runs/gain --sweep=shared=True,False \\
        --sweep=seed=0..2
    python -m experiments.multiway_nmt --workdir=runs/multiway --mode=translate < dates.txt

Data: dates in words, or pairs:FOLDER with train.LANGUAGE, val.LANGUAGE and test*.LANGUAGE for every
language. The pairs take turns, a step each. With shared=False every pair has an encoder and a
decoder of its own, of the same sizes, and sees the same batches at the same steps. The headline is
the mean over the pairs, "test/exact en-fr" that of one. Measured: D4 in experiments/README.md.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np

from data.pairs import multiway
from data.pairs.dates import Dates
from data.pairs.parallel import load_pairs
from data.text.subwords import make_vocabulary
from experiments.translation.corpora import Config as CorpusConfig
from experiments.translation.corpora import Corpus, of_dates, of_text
from experiments.translation.task import Translate, make_network, signatures
from nets.translation.multiway import MultiSeq2Seq
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.task import Experiment, Task

MODES = {
    "translate": "experiments.translation.modes:translate_pair",
    "states": "experiments.translation.modes:states_pair",
}


@dataclass(slots=True, kw_only=True)
class Config(CorpusConfig):
    """Settings of a network for several pairs."""

    TINY: ClassVar = {**CorpusConfig.TINY, "language_pairs": "en-fr"}

    dataset: str = CorpusConfig.changed("dataset", "dates", "dates or pairs:FOLDER")
    language_pairs: str = option(
        "en-fr+de-fr+en-de", "language pairs SOURCE-TARGET, joined by +", group="data"
    )
    shared: bool = option(True, "share one encoder or decoder per language among the pairs")

    steps: int = CorpusConfig.changed("steps", 3000)

    direction: str = option(
        "",
        "language pair to use",
        note="default: the first",
        modes=("translate", "states"),
    )


class MultiTranslate(Task):
    """Mean of -log P(y_t given y_<t, the source and the pair) over the tokens of a pair's batch.

    tasks: what each pair's network is trained to do by itself.
    """

    def __init__(self, model: MultiSeq2Seq, tasks: dict[str, Translate], config: Config):
        self.model, self.tasks, self.config = model, tasks, config
        self.headline = next(iter(tasks.values())).headline

    def inputs(self, batch, carry):
        """Pair, source, its lengths, and the target up to the token before each."""
        pair, batch = multiway.remove_prefix(batch)
        return pair, *self.tasks[pair].inputs(batch, carry)

    def means(self, outputs, batch):
        """Return the means of `Translate`, under the same names for every pair."""
        pair, batch = multiway.remove_prefix(batch)
        return self.tasks[pair].means(outputs, batch)

    def of_pair(self, predict, pair):
        """Task of a pair and its own network."""
        found = self.model.variables_of(predict.variables, pair)
        return self.tasks[pair], replace(predict, variables=found)

    def chosen(self, predict):
        """Return the task and the network of config.direction, by default of the first pair."""
        return self.of_pair(predict, self.config.direction or next(iter(self.tasks)))

    def scores(self, predict, batches):
        """Scores of `Translate` for every pair, and their means over the pairs."""
        found = {}
        for pair, held_out in batches.sets.items():
            task, alone = self.of_pair(predict, pair)
            found[pair] = task.scores(alone, held_out)
        names = next(iter(found.values()))
        means = {name: float(np.mean([one[name] for one in found.values()])) for name in names}
        return means | {f"{name} {pair}": found[pair][name] for pair in found for name in names}

    def figures(self, predict, batches):
        """Return the pictures of the first pair."""
        pair, held_out = next(iter(batches.sets.items()))
        task, alone = self.of_pair(predict, pair)
        return task.figures(alone, held_out)


def read_dates(pairs, seeds, config: Config) -> dict[str, Corpus]:
    """Dates of each pair, in the characters of its languages."""
    found = {}
    for pair in pairs:
        dates = multiway.DatesByLanguage(
            Dates.from_name(f"dates:{pair}").directions, config.format_noise
        )
        found[pair] = of_dates(dates, *dates.vocabularies, seeds[pair], config)
    return found


def read_text(pairs, seeds, config: Config) -> dict[str, Corpus]:
    """Parallel text of each pair, with one vocabulary a language, made of all its sides."""
    texts = {p: load_pairs(config.dataset, x, y, config.test_set) for p, (x, y) in pairs.items()}
    sides = multiway.sides_by_language(pairs, texts)
    words = {x: make_vocabulary(config.tokenizer, sides[x], config.vocab_size) for x in sides}
    return {
        pair: of_text(texts[pair], words[x], words[y], seeds[pair], config)
        for pair, (x, y) in pairs.items()
    }


def build(config: Config) -> Experiment:
    """Read the pairs; make the network, the batches in turn and the task."""
    dates, pairs = config.dataset == "dates", multiway.language_pairs(config.language_pairs)
    if not dates and not config.dataset.startswith("pairs:"):
        raise ConfigError(f"config.dataset must be dates or pairs:FOLDER, got {config.dataset!r}")
    if config.direction not in ("", *pairs):
        raise ConfigError(f"config.direction must be one of {', '.join(pairs)}")
    seeds = multiway.pair_seeds(config.seed, pairs)
    corpora = (read_dates if dates else read_text)(pairs, seeds, config)
    parts = pairs if config.shared else {pair: (pair, pair) for pair in pairs}
    encoders, decoders, tasks = {}, {}, {}
    found: dict[str, Any] = {"dataset": config.dataset.split(":")[0], **signatures()}
    for pair, (_, _, source, target, about) in corpora.items():
        network = make_network(config, len(source), len(target))
        encoders[parts[pair][0]], decoders[parts[pair][1]] = network.encoder, network.decoder
        tasks[pair] = Translate(network, source, target, config)
        x, y = pairs[pair]
        found |= {f"symbols {x}": len(source), f"symbols {y}": len(target)}
        found |= {f"{name} {pair}": value for name, value in about.items()}
    task = MultiTranslate(MultiSeq2Seq(encoders, decoders, parts), tasks, config)
    train = multiway.Rotation({pair: corpora[pair].train for pair in pairs})
    evals = {
        split: multiway.AllPairs({pair: corpora[pair].evals[split] for pair in pairs})
        for split in ("validation", "test")
    }
    shapes = jax.eval_shape(lambda: task.model.init(jax.random.key(0), *task.inputs(train(0), ())))
    found["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    return Experiment(task, make_optimizer(config), train, evals, found)


if __name__ == "__main__":
    cli.run(Config, build, MODES)
