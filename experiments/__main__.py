"""List the experiments, or use a trained run: its folder names its experiment.

python -m experiments
python -m experiments RUN --mode=generate --config.prompt='def '
python -m experiments RUN --mode=report
"""

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from experiments.report.index import describe, experiment_names
from train.validity import hint

HERE = Path(__file__).parent
WIDTH = 100  # columns of the list
LEGEND = """
data: the default dataset. time: the mean over the seeds of a measured run with the default
settings, and the cores that it had; absent if none was measured. modes: values of --mode of a
trained run, besides export. Train with `python -m experiments.NAME --workdir=RUN`;
`python -m experiments.NAME --help` lists the settings.
"""


def listing() -> Iterator[str]:
    """Lines for each experiment: what it is, its default data, its measured time, its modes."""
    index = json.loads((HERE / "index.json").read_text(encoding="utf-8"))
    for name in experiment_names(HERE):
        if name not in index:  # one of the user's own: see docs/new_experiment.md
            index[name] = describe(name)
        entry = index[name]
        details = [f"data: {entry['data']}"]
        if entry["time"]:
            details.append(f"time: {entry['time']}")
        details.append(f"modes: {', '.join(entry['modes']) or 'none'}")
        indent = " " * 18
        for start, text in ((f"{name:<17} ", entry["summary"]), (indent, "; ".join(details))):
            yield textwrap.fill(
                text, WIDTH, initial_indent=start, subsequent_indent=indent, break_long_words=False
            )


def main(argv: list[str]) -> None:
    """Print the experiments, or run the one of a run directory with the rest of the arguments."""
    if not argv[1:] or argv[1] in ("-h", "--help", "--helpfull", "--helpshort"):
        print(__doc__)
        print("\n".join(listing()))
        print(LEGEND.rstrip())
        return
    folder = Path(os.path.expanduser(argv[1]))
    if not folder.exists() and os.sep not in argv[1]:
        if argv[1] in experiment_names(HERE):
            text = f"{argv[1]} is an experiment: `python -m experiments.{argv[1]} --workdir=RUN`"
            print(f"error: {text}", file=sys.stderr)
            sys.exit(2)
        if near := hint(argv[1], experiment_names(HERE)):
            text = f"there is neither a run {argv[1]!r} nor an experiment of this name{near}"
            print(f"error: {text}", file=sys.stderr)
            sys.exit(2)
    from train import cli  # imports jax, which the list does not need

    sys.argv = [argv[0], f"--workdir={argv[1]}", *argv[2:]]
    cli.run_folder(folder)


if __name__ == "__main__":
    main(sys.argv)
