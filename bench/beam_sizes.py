"""BLEU and search errors of trained translation models, by beam size.

    python -m bench.beam_sizes --runs runs/en_de --save=experiments/results/nmt_beam_sizes.json

A search error is a test sentence whose best hypothesis at some other beam size has a higher score.
The first --exact sentences are searched again without a length penalty, and
nets.decoding.exact_search looks for their most probable hypotheses. "proven" is the fraction of
them that it proves within --nodes calls of the model, and "error_of_proven" is the fraction of
search errors among those. "length" is the total length of the translations over that of the
references. "seconds" is the time to search all sentences, without compilation.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from bench.results import run_folders, write_result
from bench.tables import markdown
from data.text.vocabulary import END
from experiments import open_run
from experiments.report.intervals import mean_seconds
from experiments.report.runs import Run, group_runs
from experiments.translation.search import longest
from experiments.translation.task import metrics_of
from nets.decoding.exact import exact_search
from train.rundir import read_json

CLOSE = 1e-4  # scores of the same hypothesis in batches of other shapes differ by less


def search_all(task, variables, batches, count: int, **options) -> tuple[np.ndarray, list[str]]:
    """Best score and translation of each of `count` sentences in batches."""
    hypotheses = task.hypotheses(variables, batches, count, n_best=1, **options)
    scores, texts, _ = zip(*(best[0] for best in hypotheses), strict=True)
    return np.array(scores), list(texts)


def most_probable(task, variables, sentences: list[str], nodes: int) -> np.ndarray:
    """Log p of the most probable translation of each sentence, NaN if it is not proven."""
    log_probs = []
    for ids in tqdm(task.source.encode(sentences), unit="sentence", disable=None):
        batch = {"source": np.array([[*ids, END]]), "source_lengths": np.array([len(ids) + 1])}
        model = task.step_model(variables, batch)
        best = exact_search(model, max_length=longest(batch), max_nodes=nodes)
        log_probs.append(best.score if best.optimal else np.nan)
    return np.array(log_probs)


def measure(folder: Path, sizes: list[int], exact: int, nodes: int) -> list[Run]:
    """Search the test sentences of a run with each beam size."""
    run = open_run(folder)
    task, held_out, variables = run.task, run.held_out("test"), run.variables
    sources, references = zip(*held_out.examples, strict=True)
    references = [task.target.normal_form(reference) for reference in references]
    metrics = metrics_of(task.config, task.language).values()
    first = sources[:exact]
    best = most_probable(task, variables, first, nodes)
    proven = np.isfinite(best)
    results, seconds, missed = {}, {}, {}
    for size in tqdm(sizes, unit="size", disable=None):
        for batch in {batch["source"].shape: batch for batch in held_out}.values():
            jax.block_until_ready(task.search(variables, batch, n_best=1, beam_size=size))
        began = time.perf_counter()
        results[size] = search_all(task, variables, held_out, len(sources), beam_size=size)
        seconds[size] = time.perf_counter() - began
        options = {"beam_size": size, "length_penalty": 0.0}
        log_p, _ = search_all(task, variables, task.buckets(first), len(first), **options)
        missed[size] = (log_p < best - CLOSE)[proven]
    known = np.max([scores for scores, _ in results.values()], axis=0)
    settings = read_json(folder / "config.json")
    runs = []
    for size, (scores, texts) in results.items():
        bleu, chrf = (m.corpus_score(texts, [references]) for m in metrics)
        values = {
            "bleu": bleu.score,
            "chrf": chrf.score,
            "length": bleu.sys_len / bleu.ref_len,
            "search_error": float((scores < known - CLOSE).mean()),
            "proven": float(proven.mean()),
            "error_of_proven": float(missed[size].mean()),
        }
        metrics = {f"test/{name}": value for name, value in values.items()}
        result = {"metrics": metrics, "seconds": seconds[size]}
        runs.append(Run(folder, {**settings, "beam_size": size}, result, []))
    return runs


def main() -> None:
    """Print the table, and write the result to the file of --save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 5, 12, 50])
    parser.add_argument(
        "--exact", type=int, default=50, help="number of sentences for exact search"
    )
    parser.add_argument(
        "--nodes", type=int, default=2000, help="maximum number of model calls per sentence"
    )
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    runs = [
        run
        for folder in run_folders(args.runs)
        for run in measure(folder, args.sizes, args.exact, args.nodes)
    ]
    groups = group_runs(runs)
    lines = [
        {
            "beam_size": str(group.runs[0].config["beam_size"]),
            **{name: f"{np.mean(group.values(name)):.4f}" for name in group.results[0]["metrics"]},
            "seconds": f"{mean_seconds(group.results):.0f}",
        }
        for group in groups
    ]
    print(markdown(lines))
    if args.save:
        write_result("beam_sizes", groups, "test/bleu", args.save)


if __name__ == "__main__":
    main()
