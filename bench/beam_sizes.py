"""BLEU and search errors of trained translators, by the number of open hypotheses of the search.

    python -m bench.beam_sizes --runs runs/en_de --save=experiments/results/nmt_beam_sizes.json

A search error is a test sentence for which a hypothesis of a higher score is known than the one
that was found. Known are the best of all sizes here; and of the first sentences, as many as
--exact says, the best there is by nets.exact_search, where that can prove it within --nodes calls
of the model: "proven" is their share, "error_of_proven" the share of search errors among them.
"length" is that of all translations over that of all references. Seconds are those of the search
for all sentences, after a first one that compiles.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from tqdm import tqdm

from bench.tables import markdown
from data.subwords import END
from experiments import nmt
from experiments._report import Run, group_runs, mean_seconds, summary
from experiments._translation import in_order
from nets.exact_search import exact_search
from train.cli import load_run, parse
from train.rundir import read_json

CLOSE = 1e-4  # scores of the same hypothesis in batches of other shapes differ by less


def searched(task, variables, held_out, size: int) -> tuple[np.ndarray, list[str], float]:
    """Best score and translation of each sentence, and the seconds it took."""

    def answer(batch):
        found = task.search(variables, batch, beam_size=size, n_best=1)
        texts = map(task.target.decode, np.asarray(found.tokens[:, 0]))
        return zip(found.scores[:, 0].tolist(), texts, strict=True)

    for batch in {batch["source"].shape: batch for batch in held_out}.values():
        jax.block_until_ready(task.search(variables, batch, beam_size=size, n_best=1))
    began = time.perf_counter()
    found = in_order(held_out, len(held_out.sources), answer)
    seconds = time.perf_counter() - began
    scores, texts = zip(*found, strict=True)
    return np.array(scores), list(texts), seconds


def best_there_is(task, variables, sentences: list[str], nodes: int) -> np.ndarray:
    """Highest score of each sentence, NaN where it was not proven."""
    found = []
    for ids in tqdm(task.source.encode(sentences), unit="sentence", disable=None):
        batch = {"source": np.array([[*ids, END]]), "source_lengths": np.array([len(ids) + 1])}
        best = exact_search(**task.problem(variables, batch), max_nodes=nodes)
        found.append(best.score if best.optimal else np.nan)
    return np.array(found)


def measure(folder: Path, sizes: list[int], exact: int, nodes: int) -> list[Run]:
    """Search the test sentences of a run with each of the sizes."""
    words = ["beam_sizes", f"--workdir={folder}", "--mode=beams"]
    config, *_ = parse(nmt.Config, ("train", "beams"), words)
    experiment, predict = load_run(nmt.build, config, folder)
    task, held_out = experiment.task, experiment.evals["test"]
    found = {}
    for size in tqdm(sizes, unit="size", disable=None):
        found[size] = searched(task, predict.variables, held_out, size)
    known = np.max([scores for scores, *_ in found.values()], axis=0)
    proven = best_there_is(task, predict.variables, held_out.sources[:exact], nodes)
    known[: len(proven)] = np.fmax(known[: len(proven)], proven)
    settings = read_json(folder / "config.json")
    runs = []
    for size, (scores, texts, seconds) in found.items():
        references = [list(held_out.references)]
        bleu = BLEU().corpus_score(texts, references)
        missed = scores < known - CLOSE
        values = {
            "bleu": bleu.score,
            "chrf": CHRF().corpus_score(texts, references).score,
            "length": bleu.sys_len / bleu.ref_len,
            "search_error": float(missed.mean()),
            "proven": float(np.isfinite(proven).mean()),
            "error_of_proven": float(missed[: len(proven)][np.isfinite(proven)].mean()),
        }
        result = {"metrics": {f"test/{name}": value for name, value in values.items()}}
        own = {**settings, "beam_size": size}
        runs.append(Run(folder, own, {**result, "seconds": seconds}, []))
    return runs


def main() -> None:
    """Print the table, and write the result where --save says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 5, 12, 50])
    parser.add_argument("--exact", type=int, default=50, help="sentences searched exactly")
    parser.add_argument("--nodes", type=int, default=2000, help="most calls of the model for one")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    runs = [
        run
        for folder in given.runs
        for run in measure(folder, given.sizes, given.exact, given.nodes)
    ]
    groups = group_runs(runs)
    lines = [
        {
            "beam_size": str(group.runs[0].config["beam_size"]),
            **{name: f"{np.mean(group.values(name)):.4f}" for name in group.results[0]["metrics"]},
            "seconds": mean_seconds(group.results),
        }
        for group in groups
    ]
    print(markdown(lines))
    if given.save:
        folders = list(map(str, given.runs))
        words = [f"runs/{Path(word).name}" if word in folders else word for word in sys.argv[1:]]
        command = " ".join(["python -m bench.beam_sizes", *words])
        text = json.dumps(summary(groups, "test/bleu", command), indent=1)
        given.save.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
