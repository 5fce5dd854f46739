"""Perplexity of modified Kneser-Ney smoothing by the order of the n-grams.

    python -m bench.kneser_ney --dataset words:FOLDER --min_count 1 \\
        --save=experiments/results/ngram_kneser_ney.json

Words and scores are the same as in `ngram_lm` and `word_lm`: every held-out word but the first is
scored. With --sentences, n-grams do not cross the ends of lines, and the start of a line is a
context, as in lmplz of KenLM. --write_arpa=FILE writes the model of the last order, and
--read_arpa=FILE scores a model of another program.

The model is counted, not trained, so there is no run to resume, and a seed has no effect. Seconds
are the CPU time to count and to score both held-out texts.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.tables import markdown
from data.catalogue import DataError
from data.text.arpa import BEGIN, END, read_arpa, write_arpa
from data.text.ngrams import ngrams, sentence_ngrams
from data.text.words import END as RUNNING_END
from data.text.words import RunningWords, WordCorpus, WordVocabulary, as_text, load_words
from experiments.report.report import summary
from experiments.report.runs import Run, group_runs
from nets.language.backoff import from_backoff, to_backoff
from nets.language.kneser_ney import KneserNey, fit_kneser_ney, ngram_log_probs
from train.environment import environment
from train.rundir import write_json


class Texts(NamedTuple):
    """Ids of the held-out texts; the id of the end of a line; whether lines are sentences."""

    held_out: dict[str, np.ndarray]
    end: int
    sentences: bool

    def fit(self, train: np.ndarray, order: int, vocabulary: int) -> KneserNey:
        """Model of a text of ids."""
        if self.sentences:
            return fit_kneser_ney(sentence_ngrams(train, order, self.end), vocabulary, self.end)
        return fit_kneser_ney(ngrams(train, order, self.end), vocabulary)

    def score(self, model: KneserNey) -> dict[str, float]:
        """Loss and perplexity of the held-out texts, over all ids but the first."""
        metrics, order = {}, len(model.orders)
        for name, ids in self.held_out.items():
            if self.sentences:
                grams = sentence_ngrams(ids, order, self.end)[1:]
            else:
                grams = ngrams(ids, order, self.end)
            nats = -ngram_log_probs(model, grams).mean()
            metrics |= {f"{name}/loss": float(nats), f"{name}/perplexity": float(np.exp(nats))}
        return metrics


def held_out_texts(corpus: WordCorpus, vocabulary: RunningWords, sentences: bool) -> Texts:
    """Held-out texts of a corpus."""
    texts = {name: vocabulary.encode(as_text(split)) for name, split in corpus.held_out.items()}
    return Texts(texts, int(vocabulary.encode("\n")[0]), sentences)


def measure(options: argparse.Namespace, folder: Path) -> list[Run]:
    """Count the n-grams of a corpus and score its held-out texts, for each order.

    Writes the descriptions of the data and of the environment of a run into `folder`. Raises
    DataError when the corpus cannot be read or an order does not fit it.
    """
    corpus = load_words(options.dataset)
    vocabulary = RunningWords.from_sentences(corpus.train, options.min_count)
    texts = held_out_texts(corpus, vocabulary, options.sentences)
    train = vocabulary.encode(as_text(corpus.train))
    sizes = {"sha256": corpus.sha256, "words": len(train), "vocabulary": len(vocabulary)}
    write_json(
        folder / "data.json", {"dataset": options.dataset.split(":", maxsplit=1)[0], **sizes}
    )
    write_json(folder / "environment.json", environment())
    settings = {"dataset": options.dataset, "min_count": options.min_count}
    settings |= {"sentences": True} if options.sentences else {}
    runs = []
    for order in options.orders:
        start_time = time.process_time()
        try:
            model = texts.fit(train, order, len(vocabulary))
        except ValueError as error:
            raise DataError(str(error)) from None
        result = {"metrics": texts.score(model), "seconds": time.process_time() - start_time}
        runs.append(Run(folder, {**settings, "order": order, "seed": 0}, result, []))
    if options.write_arpa:
        end = texts.end if options.sentences else None
        write_arpa(options.write_arpa, vocabulary.vocabulary.words, to_backoff(model), end)
    return runs


def score_arpa(path: Path, dataset: str) -> list[Run]:
    """Score the held-out texts of a corpus with the model of an ARPA file."""
    arpa = read_arpa(path)
    if arpa.end is None:
        raise DataError(f"{path} has no words {BEGIN} and {END}")
    words = [RUNNING_END if i == arpa.end else word for i, word in enumerate(arpa.words)]
    vocabulary = RunningWords(WordVocabulary(tuple(words), np.zeros(len(words), np.int64)))
    texts = held_out_texts(load_words(dataset), vocabulary, sentences=True)
    start_time = time.process_time()
    metrics = texts.score(from_backoff(arpa.levels, len(words)))
    result = {"metrics": metrics, "seconds": time.process_time() - start_time}
    return [Run(path, {"order": len(arpa.levels)}, result, [])]


def main() -> None:
    """Print the table, and write the result to the file of --save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--dataset",
        default="python_docs",
        help="the corpus: same values as config.dataset of ngram_lm",
    )
    parser.add_argument(
        "--min_count",
        type=int,
        default=3,
        help="least count of a word in the vocabulary: config.min_count of ngram_lm",
    )
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument(
        "--sentences",
        action="store_true",
        help="count each line by itself, with its start as a context",
    )
    parser.add_argument(
        "--write_arpa", type=Path, help="ARPA file to write the model of the last order to"
    )
    parser.add_argument("--read_arpa", type=Path, help="ARPA file of a model to score instead")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if options.read_arpa:
                if options.save or options.write_arpa:
                    parser.error("--read_arpa cannot be combined with --save or --write_arpa")
                runs = score_arpa(options.read_arpa, options.dataset)
            else:
                runs = measure(options, Path(folder))
        except DataError as error:
            parser.error(str(error))
        lines = [
            {
                "order": str(run.config["order"]),
                **{name: f"{value:.3f}" for name, value in run.result["metrics"].items()},
                "seconds": f"{run.result['seconds']:.1f}",
            }
            for run in runs
        ]
        print(markdown(lines))
        if options.save:
            command = " ".join(["python -m bench.kneser_ney", *sys.argv[1:]])
            result = summary(group_runs(runs), "test/perplexity", command)
            options.save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
