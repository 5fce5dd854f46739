"""List the experiments, or use a trained run: its folder names its experiment.

python -m experiments
python -m experiments RUN --mode=generate --config.prompt='def '
python -m experiments RUN --mode=report
"""

import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from experiments.report.index import describe, experiment_names
from train.help import FLAGS as HELP
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


def refusal(words: list[str], folder: Path) -> str:
    """Why the first word cannot name the directory of a run; empty when it can."""
    names, first = experiment_names(HERE), words[0]
    path = Path(first)
    if first.startswith("-"):
        return f"the directory of a run, or nothing, comes before the flags, got {first}"
    if path.suffix == ".py" and path.stem in names:
        return f"{path.stem} is an experiment: `{training(path.stem, words[1:])}`"
    if folder.exists() or os.sep in first:
        return ""
    if first in names:
        return f"{first} is an experiment: `{training(first, words[1:])}`"
    near = hint(first, names) or "; `python -m experiments` lists them"
    return f"there is neither a run {first!r} nor an experiment of this name{near}"


def training(name: str, flags: list[str]) -> str:
    """Return the command that trains an experiment with these flags."""
    workdir = [] if any(word.startswith("--workdir=") for word in flags) else ["--workdir=RUN"]
    return shlex.join(["python", "-m", f"experiments.{name}", *workdir, *flags])


def main(argv: list[str]) -> None:
    """Print the experiments, or run the one of a run directory with the rest of the arguments."""
    if not argv[1:] or argv[1] in HELP:
        print(__doc__)
        print("\n".join(listing()))
        print(LEGEND.rstrip())
        return
    folder = Path(os.path.expanduser(argv[1]))
    if problem := refusal(argv[1:], folder):
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    from train import cli  # imports jax, which the list does not need

    sys.argv = [argv[0], f"--workdir={argv[1]}", *argv[2:]]
    cli.run_folder(folder)


if __name__ == "__main__":
    main(sys.argv)
