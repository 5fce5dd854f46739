"""List the experiments, or use a trained run: its folder names its experiment.

python -m experiments
python -m experiments RUN --mode=generate --config.prompt='def '
python -m experiments RUN --mode=report
"""

import importlib
import os
import sys
from pathlib import Path

from train import cli


def names() -> list[str]:
    """Names of the experiments, which are the public modules of this package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def main(argv: list[str]) -> None:
    """Print the experiments, or run the one of a run directory with the rest of the arguments."""
    if not argv[1:] or argv[1] in cli.HELP:
        print(__doc__)
        for name in names():
            module = importlib.import_module(f"experiments.{name}")
            print(f"{name:<17}{(module.__doc__ or '').splitlines()[0]}")
        return
    sys.argv = [argv[0], f"--workdir={argv[1]}", *argv[2:]]
    cli.run_folder(Path(os.path.expanduser(argv[1])))


if __name__ == "__main__":
    main(sys.argv)
