"""Loss of trained language models: unchanged, calibrated, and with dynamic evaluation.

    python -m bench.scoring --experiment=char_lm --runs runs/strong/seed=* \\
        --save=experiments/results/char_lm_scoring.json

The measurements of --mode=calibrate and --mode=dynamic for several runs; seeds share one row of the
result. Seconds are those of the measurement.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.results import run_folders, write_result
from experiments import open_run
from experiments.language import calibration, dynamic
from experiments.report.runs import Run, check_seeds, group_runs


def measure_run(folder: Path) -> Run:
    """Measure one run."""
    run = open_run(folder)
    texts = calibration.held_out_ids(run)
    began = time.perf_counter()
    calibrated, temperature = calibration.measure(run.task, run.predict, texts)
    adapted, rate = dynamic.measure(run.task, run.predict, texts)
    metrics = {
        f"{text}/{kind} {metric}": value
        for text, kinds in calibrated.items()
        for kind, values in (kinds | adapted[text]).items()
        for metric, value in values.items()
    }
    metrics |= {"temperature": temperature, "rate": rate}
    result = {"metrics": metrics, "seconds": time.perf_counter() - began}
    return Run(folder, asdict(run.config), result, [])


def main() -> None:
    """Print the metrics; write the result if --save names a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--experiment", choices=("char_lm", "word_lm"), required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    runs = [measure_run(folder) for folder in run_folders(args.runs)]
    groups = group_runs(runs)
    check_seeds(groups)
    for group in groups:
        print(f"{group.label}: mean of {len(group.results)}")
        for name in group.results[0]["metrics"]:
            print(f"{name:<36}{np.mean(group.values(name)):.6g}")
    if args.save:
        text = "heldout" if args.experiment == "char_lm" else "test"
        write_result("scoring", groups, f"{text}/dynamic loss", args.save)


if __name__ == "__main__":
    main()
