"""Perplexity of modified Kneser-Ney smoothing by the order of the n-grams.

    python -m bench.kneser_ney --dataset words:FOLDER --min_count 1 \\
        --save=experiments/results/ngram_kneser_ney.json

Words and scores are the same as in `ngram_lm` and `word_lm`: every held-out word but the first is
scored. The model is counted, not trained, so there is no run to resume, and a seed has no effect.
Seconds are the CPU time to count and to score both held-out texts.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.tables import markdown
from data.catalogue import DataError
from data.text.ngrams import ngrams
from data.text.words import RunningWords, as_text, load_words
from experiments.report.report import summary
from experiments.report.runs import Run, group_runs
from nets.language.kneser_ney import fit_kneser_ney, ngram_log_probs
from train.rundir import environment, write_json


def measure(dataset: str, min_count: int, orders: list[int], folder: Path) -> list[Run]:
    """Count the n-grams of a corpus and score its held-out texts, for each order.

    Writes the description of data and environment of a run into `folder`. Raises DataError when the
    corpus cannot be read or an order is below 1.
    """
    corpus = load_words(dataset)
    vocabulary = RunningWords.from_sentences(corpus.train, min_count)
    train = vocabulary.encode(as_text(corpus.train))
    held_out = {name: vocabulary.encode(as_text(s)) for name, s in corpus.held_out.items()}
    sizes = {"sha256": corpus.sha256, "words": len(train), "vocabulary": len(vocabulary)}
    write_json(folder / "data.json", {"dataset": dataset.split(":", maxsplit=1)[0], **sizes})
    write_json(folder / "environment.json", environment())
    start = vocabulary.encode("\n")[0]
    runs = []
    for order in orders:
        start_time = time.process_time()
        model = fit_kneser_ney(ngrams(train, order, start), len(vocabulary))
        metrics = {}
        for name, ids in held_out.items():
            nats = -ngram_log_probs(model, ngrams(ids, order, start)).mean()
            metrics |= {f"{name}/loss": float(nats), f"{name}/perplexity": float(np.exp(nats))}
        result = {"metrics": metrics, "seconds": time.process_time() - start_time}
        config = {"dataset": dataset, "min_count": min_count, "order": order, "seed": 0}
        runs.append(Run(folder, config, result, []))
    return runs


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
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            runs = measure(options.dataset, options.min_count, options.orders, Path(folder))
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
