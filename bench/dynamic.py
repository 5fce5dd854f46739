"""Loss of trained language models that go on learning from the text they are scored on.

    python -m bench.dynamic --experiment=char_lm --runs runs/strong/seed=* \\
        --save=experiments/results/char_lm_dynamic.json

What --mode=dynamic measures, of several runs; seeds are one row of the result. Seconds are those of
the measurement.
"""

import argparse
import importlib
import time
from pathlib import Path

import numpy as np

from bench.results import write_result
from bench.tables import markdown
from experiments._dynamic import measure
from experiments._runs import Run, group_runs
from train.cli import load_run, parse
from train.rundir import read_json


def measured(name: str, folder: Path) -> Run:
    """Measure one run of an experiment."""
    experiment = importlib.import_module(f"experiments.{name}")
    words = ["dynamic", f"--workdir={folder}", "--mode=dynamic"]
    config, *_ = parse(experiment.Config, ("train", "dynamic"), words)
    made, predict = load_run(experiment.build, config, folder)
    began = time.perf_counter()
    found = measure(made.task, predict)
    metrics = {}
    for text, values in found.items():
        for kind in ("static", "dynamic"):
            nats = {"loss": values[kind]}
            for metric, value in (nats | made.task.summaries(nats)).items():
                metrics[f"{text}/{kind} {metric}"] = value
        metrics[f"{text}/rate"] = values["rate"]
    result = {"metrics": metrics, "seconds": time.perf_counter() - began}
    return Run(folder, read_json(folder / "config.json"), result, [])


def main() -> None:
    """Print the table, and write the result where --save says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--experiment", choices=("char_lm", "word_lm"), required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    runs = [measured(given.experiment, folder) for folder in given.runs]
    groups = group_runs(runs)
    for group in groups:
        names = group.results[0]["metrics"]
        print(f"{group.label}, seeds {len(group.results)}")
        lines = [{"metric": name, "mean": f"{np.mean(group.values(name)):.4f}"} for name in names]
        print(markdown(lines))
    if given.save:
        last = list(runs[0].result["metrics"])[-1].split("/")[0]
        write_result("dynamic", groups, f"{last}/dynamic loss", given.save)


if __name__ == "__main__":
    main()
