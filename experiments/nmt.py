"""Translation: a recurrent network reads a sentence, another one writes it in a second language.

Reproduces: sequence to sequence learning (Sutskever, Vinyals and Le 2014; Cho et al. 2014) with
attention (Bahdanau, Cho and Bengio 2015; Luong, Pham and Manning 2015), and beam search.

    python -m experiments.nmt --workdir=runs/dates
    python -m experiments.nmt --workdir=runs/en_de --config.dataset=pairs:FOLDER \\
        --config.source=en --config.target=de --flagfile=experiments/nmt_multi30k.flags
    echo '<de>3. März 2005' | python -m experiments.nmt --workdir=runs/dates --mode=translate
    python -m experiments.nmt --workdir=runs/en_de --mode=states < phrases.txt

Data: dates, in the words of twelve languages to ISO 8601 (the default), or dates:de+fr-en for other
languages; or parallel text: pairs:FOLDER with train.LANGUAGE, val.LANGUAGE and test*.LANGUAGE,
files:SOURCE,TARGET, or tsv:FILE, each plain or gzipped. "validation" is translated during training,
"test" at the end. Measured: the rows of D1 to D3 and D5 in experiments/README.md.
"""

from dataclasses import dataclass

from data.pairs.dates import Dates
from data.pairs.parallel import load_pairs
from data.text.subwords import make_vocabulary
from experiments.translation.corpora import Config as CorpusConfig
from experiments.translation.corpora import Corpus, of_dates, of_text
from experiments.translation.task import Translate, make_network, signatures
from train import cli
from train.config import option
from train.optimizer import make_optimizer
from train.task import Experiment

MODES = {
    "translate": "experiments.translation.modes:translate",
    "states": "experiments.translation.modes:states",
}


@dataclass(slots=True, kw_only=True)
class Config(CorpusConfig):
    """Settings of a network for one direction."""

    dataset: str = CorpusConfig.changed(
        "dataset", "dates", "dates, pairs:FOLDER, files:SOURCE,TARGET or tsv:FILE"
    )
    source: str = option("en", "source language", note="pairs:FOLDER", group="data")
    target: str = option("de", "target language", note="pairs:FOLDER", group="data")

    steps: int = CorpusConfig.changed("steps", 1500)


def read_dates(config: Config) -> Corpus:
    """Dates of the languages in config.dataset."""
    dates = Dates.from_name(config.dataset, config.format_noise)
    corpus = of_dates(dates, dates.vocabulary, dates.vocabulary, config.seed, config)
    found = {"dataset": config.dataset, "symbols": len(dates.vocabulary)}
    return corpus._replace(provenance=found)


def read_text(config: Config) -> Corpus:
    """Parallel text, with one vocabulary for both languages."""
    text = load_pairs(config.dataset, config.source, config.target, config.test_set)
    sides = [side for pair in text.train for side in pair]
    vocabulary = make_vocabulary(config.tokenizer, sides, config.vocab_size)
    corpus = of_text(text, vocabulary, vocabulary, config.seed, config)
    found = {
        "dataset": config.dataset.split(":")[0],
        "languages": f"{config.source}-{config.target}",
        **corpus.provenance,
        **signatures(),
    }
    return corpus._replace(provenance=found)


def build(config: Config) -> Experiment:
    """Read the pairs; make the network, the batches and the task."""
    read = read_dates if config.dataset.startswith("dates") else read_text
    train, evals, source, target, found = read(config)
    network = make_network(config, len(source), len(target))
    task = Translate(network, source, target, config)
    return Experiment(task, make_optimizer(config), train, evals, found)


if __name__ == "__main__":
    cli.run(Config, build, MODES)
