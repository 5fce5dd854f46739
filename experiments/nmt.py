"""Translation: a recurrent network reads a sentence, and another one writes its translation.

Reproduces: sequence to sequence learning (Sutskever, Vinyals and Le 2014; Cho et al. 2014) with
attention (Bahdanau, Cho and Bengio 2015; Luong, Pham and Manning 2015) and beam search.

    python -m experiments.nmt --workdir=runs/dates
    python -m experiments.nmt --workdir=runs/en_de --config.dataset=pairs:FOLDER \\
        --config.source=en --config.target=de --flagfile=experiments/nmt_multi30k.flags
    echo '<de>3. März 2005' | python -m experiments.nmt --workdir=runs/dates --mode=translate
    python -m experiments.nmt --workdir=runs/en_de --mode=states < phrases.txt

Data: dates (in words, from twelve languages to ISO 8601; the default), or dates:de+fr-en for other
languages; or parallel text, plain or gzipped: pairs:FOLDER with train.LANGUAGE, val.LANGUAGE and
test*.LANGUAGE, files:SOURCE,TARGET, tsv:FILE, or another table of docs/own_data.md. "validation" is
translated during training, "test" at the end. Measured: the rows of D1 to D3 and D5 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.common.pretrained import pretrained_tables, vectors
from experiments.translation.task import Config as TranslationConfig
from experiments.translation.task import Translate, make_network, signatures
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment

if TYPE_CHECKING:
    import numpy as np

    from data.text.vocabulary import Vocabulary
    from experiments.translation.corpora import Corpus

VOCABULARY = "vocabulary"  # name of the asset
MODES = {
    "translate": "experiments.translation.modes:translate",
    "states": "experiments.translation.modes:states",
}


@dataclass(slots=True, kw_only=True)
class Config(TranslationConfig):
    """Settings of translation in one direction."""

    dataset: str = TranslationConfig.changed(
        "dataset",
        "dates",
        "dates, pairs:FOLDER, files:SOURCE,TARGET, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH or "
        "arrow:PATH",
    )
    source: str = option(
        "en", "source language", note="only with pairs:FOLDER and tables", group="data"
    )
    target: str = option(
        "de", "target language", note="only with pairs:FOLDER and tables", group="data"
    )

    vectors: str = vectors()

    steps: int = TranslationConfig.changed("steps", 1500)


def read_dates(config: Config) -> "Corpus":
    """Dates in the languages of config.dataset."""
    from data.pairs.dates import Dates
    from experiments.translation.corpora import dates_corpus

    dates = Dates.from_name(config.dataset, config.format_noise)
    corpus = dates_corpus(dates, dates.vocabulary, dates.vocabulary, config.seed, config)
    provenance = {"dataset": config.dataset, "symbols": len(dates.vocabulary)}
    return corpus._replace(provenance=provenance)


def read_text(config: Config) -> "Corpus":
    """Parallel text, with one vocabulary for both languages."""
    from data.pairs.parallel import load_pairs
    from data.text.subwords import make_vocabulary
    from experiments.translation.corpora import text_corpus

    text = load_pairs(config.dataset, config.source, config.target, config.test_set)
    sentences = [sentence for pair in text.train for sentence in pair]
    vocabulary = make_vocabulary(config.tokenizer, sentences, config.vocab_size)
    corpus = text_corpus(text, vocabulary, vocabulary, config.seed, config)
    provenance = {
        "dataset": config.dataset.split(":")[0],
        "languages": f"{config.source}-{config.target}",
        **corpus.provenance,
        **signatures(config, config.target),
    }
    return corpus._replace(provenance=provenance)


def pretrained(config: Config, vocabulary: "Vocabulary") -> dict[str, "np.ndarray"]:
    """Initial embeddings of both sides by config.vectors, if that names a file.

    Raises ConfigError when the symbols of the vocabulary are not words.
    """
    if not config.vectors:
        return {}
    from data.text.subwords import JOINER, Words
    from data.text.vocabulary import FIRST

    if not isinstance(vocabulary, Words):
        raise ConfigError("config.vectors needs parallel text and config.tokenizer=words")
    words = [symbol.removeprefix(JOINER) for symbol in vocabulary.symbols]
    sides = [f"params/{side}/table/embedding" for side in ("encoder", "decoder")]
    return pretrained_tables(config, words, *sides, first=FIRST)


def make_task(config: Config, assets: Assets) -> Translate:
    """Make the network for the vocabulary, which both languages share."""
    from experiments.translation.corpora import vocabulary_of

    vocabulary = vocabulary_of(config, assets[VOCABULARY])
    network = make_network(config, len(vocabulary), len(vocabulary))
    return Translate(network, vocabulary, vocabulary, config, config.target)


def build(config: Config) -> Experiment:
    """Read the corpus; make the vocabulary, the task and the batches."""
    corpus = read_dates(config) if config.dataset.startswith("dates") else read_text(config)
    assets = {VOCABULARY: corpus.source.to_bytes()}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=corpus.train,
        evals=corpus.evals,
        provenance=corpus.provenance,
        assets=assets,
        pretrained=pretrained(config, corpus.source),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
