"""Translation of several language pairs by one network, with an encoder and a decoder per language.

Reproduces: Firat, Cho and Bengio 2016; Dong et al. 2015 (one to many); Luong et al. 2016
(multi-task seq2seq). En-fr and de-fr share the French decoder, en-fr and en-de the English encoder.

    python -m experiments.multiway_nmt --workdir=runs/multiway
    python launch.py --experiment=multiway_nmt --workdir=runs/gain --sweep=shared=True,False \\
        --sweep=seed=0..2
    python -m experiments.multiway_nmt --workdir=runs/multiway --mode=translate < dates.txt

Data: dates in words, or pairs:FOLDER with train.LANGUAGE, val.LANGUAGE and test*.LANGUAGE for every
language. Each step trains one pair; the pairs alternate. With config.shared=False, every pair has
its own encoder and decoder of the same sizes, and reads the same batches at the same steps. The
headline is the mean over the pairs; "test/exact en-fr" is the metric of one pair. Measured: D4 in
experiments/README.md.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np

from data.catalogue import unknown_dataset
from data.pairs import multiway
from data.pairs.dates import Dates
from data.pairs.parallel import load_pairs
from data.text.subwords import make_vocabulary
from experiments.translation.corpora import Corpus, dates_corpus, text_corpus, vocabulary_of
from experiments.translation.task import Config as TranslationConfig
from experiments.translation.task import Translate, make_network, signatures
from nets.translation.multiway import MultiSeq2Seq
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment, Task
from train.validity import hint

MODES = {
    "translate": "experiments.translation.modes:translate",
    "states": "experiments.translation.modes:states",
}


@dataclass(slots=True, kw_only=True)
class Config(TranslationConfig):
    """Settings of translation of several language pairs."""

    TINY: ClassVar = {**TranslationConfig.TINY, "language_pairs": "en-fr"}

    dataset: str = TranslationConfig.changed("dataset", "dates", "dates or pairs:FOLDER")
    language_pairs: str = option(
        "en-fr+de-fr+en-de", "language pairs SOURCE-TARGET, joined by +", group="data"
    )
    shared: bool = option(True, "share the encoder and the decoder of a language among its pairs")

    steps: int = TranslationConfig.changed("steps", 3000)

    direction: str = option(
        "",
        "language pair to use",
        note="default: the first",
        modes=("translate", "states"),
    )


class MultiTranslate(Task):
    """Mean of -log P(y_t | y_<t, source, pair) over target tokens; each batch has one pair.

    tasks: the `Translate` task of each pair, with the pair's own network.
    """

    axes: ClassVar = Translate.axes

    def __init__(self, model: MultiSeq2Seq, tasks: dict[str, Translate], config: Config):
        self.model, self.tasks, self.config = model, tasks, config
        self.headline = next(iter(tasks.values())).headline

    def inputs(self, batch):
        """Pair, source, its lengths, and the targets shifted by one token."""
        pair, batch = multiway.remove_prefix(batch)
        return pair, *self.tasks[pair].inputs(batch)

    def means(self, outputs, batch):
        """Return the means of `Translate`, under the same names for every pair."""
        pair, batch = multiway.remove_prefix(batch)
        return self.tasks[pair].means(outputs, batch)

    def for_pair(self, predict, pair):
        """Return the task of a pair, and a predictor with the variables of its network."""
        variables = self.model.variables_of(predict.variables, pair)
        return self.tasks[pair], replace(predict, variables=variables)

    def selected(self, variables, pair: str) -> tuple[Translate, Any]:
        """Return the task of a pair, by default the first, and the variables of its network."""
        if pair not in ("", *self.tasks):
            raise ConfigError(
                f"config.direction must be one of {', '.join(self.tasks)}, got {pair!r}"
                f"{hint(pair, self.tasks)}"
            )
        pair = pair or next(iter(self.tasks))
        return self.tasks[pair], self.model.variables_of(variables, pair)

    def scores(self, predict, batches):
        """Scores of `Translate` for every pair, and their means over the pairs."""
        by_pair = {}
        for pair, held_out in batches.sets.items():
            task, pair_predict = self.for_pair(predict, pair)
            by_pair[pair] = task.scores(pair_predict, held_out)
        names = next(iter(by_pair.values()))
        means = {
            name: float(np.mean([scores[name] for scores in by_pair.values()])) for name in names
        }
        return means | {f"{name} {pair}": by_pair[pair][name] for pair in by_pair for name in names}

    def figures(self, predict, batches):
        """Return the figures of the first pair."""
        pair, held_out = next(iter(batches.sets.items()))
        task, pair_predict = self.for_pair(predict, pair)
        return task.figures(pair_predict, held_out)


def read_dates(pairs, seeds, config: Config) -> dict[str, Corpus]:
    """Dates of each pair, with a vocabulary of characters for each language."""
    corpora = {}
    for pair in pairs:
        directions = Dates.from_name(f"dates:{pair}").directions
        dates = multiway.DatesByLanguage(directions, config.format_noise)
        source, target = dates.vocabularies
        corpora[pair] = dates_corpus(dates, source, target, seeds[pair], config)
    return corpora


def read_text(pairs, seeds, config: Config) -> dict[str, Corpus]:
    """Parallel text of each pair; a language's vocabulary is learned from all its sentences."""
    texts = {p: load_pairs(config.dataset, x, y, config.test_set) for p, (x, y) in pairs.items()}
    sides = multiway.sides_by_language(pairs, texts)
    vocabularies = {
        language: make_vocabulary(config.tokenizer, sentences, config.vocab_size)
        for language, sentences in sides.items()
    }
    return {
        pair: text_corpus(texts[pair], vocabularies[x], vocabularies[y], seeds[pair], config)
        for pair, (x, y) in pairs.items()
    }


def make_task(config: Config, assets: Assets) -> MultiTranslate:
    """Make the networks of all pairs; there is one vocabulary per language."""
    pairs = multiway.language_pairs(config.language_pairs)
    # names of the encoder and the decoder of each pair
    modules = pairs if config.shared else {pair: (pair, pair) for pair in pairs}
    encoders, decoders, tasks = {}, {}, {}
    for pair, languages in pairs.items():
        source, target = (vocabulary_of(config, assets[language]) for language in languages)
        network = make_network(config, len(source), len(target))
        encoder, decoder = modules[pair]
        encoders[encoder], decoders[decoder] = network.encoder, network.decoder
        tasks[pair] = Translate(network, source, target, config, languages[1])
    return MultiTranslate(MultiSeq2Seq(encoders, decoders, modules), tasks, config)


def build(config: Config) -> Experiment:
    """Read the corpora; make the vocabularies, the task and the alternating batches."""
    dates, pairs = config.dataset == "dates", multiway.language_pairs(config.language_pairs)
    if not dates and not config.dataset.startswith("pairs:"):
        raise unknown_dataset(config.dataset, ["pairs:FOLDER"], ["dates"])
    seeds = multiway.pair_seeds(config.seed, pairs)
    corpora = (read_dates if dates else read_text)(pairs, seeds, config)
    assets: dict[str, bytes] = {}
    provenance: dict[str, Any] = {"dataset": config.dataset.split(":")[0]}
    for pair, corpus in corpora.items():
        source, target = pairs[pair]
        assets |= {source: corpus.source.to_bytes(), target: corpus.target.to_bytes()}
        provenance |= {
            f"symbols {source}": len(corpus.source),
            f"symbols {target}": len(corpus.target),
            **{f"{name} {pair}": value for name, value in corpus.provenance.items()},
            **{f"{name} {pair}": text for name, text in signatures(config, target).items()},
        }
    task = make_task(config, assets)
    train = multiway.Rotation({pair: corpora[pair].train for pair in pairs})
    evals = {
        split: multiway.AllPairs({pair: corpora[pair].evals[split] for pair in pairs})
        for split in ("validation", "test")
    }
    shapes = jax.eval_shape(task.init, jax.random.key(0), train(0))
    provenance["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    return Experiment(task, make_optimizer(config), train, evals, provenance, assets)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
