"""Figures of a run, for files and TensorBoard; one that cannot be drawn causes a warning."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .background import Background
from .files import replace_file


def draw_figures(
    workdir: Path, step: int, make: Callable[[], Mapping[str, Any]], board: Background
) -> None:
    """Write each Figure as figures/NAME-STEP.png and each text as figures/NAME-STEP.txt.

    A figure that cannot be drawn or written causes a warning with its name and the reason.
    """
    try:
        figures = make()
    except Exception as error:  # of any kind: drawing runs the code of an experiment on any data
        _warn("the figures", step, error)
        return
    for name, figure in figures.items():
        try:
            _write(workdir / "figures", step, name, figure, board)
        except Exception as error:
            _warn(f"figure {name}", step, error)


def _write(folder: Path, step: int, name: str, figure: Any, board: Background) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{step:07d}"
    if isinstance(figure, str):
        replace_file(path.with_name(f"{path.name}.txt"), figure)
        board.call("text", step, f"figures/{name}", figure)
    else:
        from .drawing import png_of  # matplotlib loads slowly

        png = png_of(figure)
        replace_file(path.with_name(f"{path.name}.png"), png)
        board.call("picture", step, f"figures/{name}", png)


def _warn(what: str, step: int, error: Exception) -> None:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    tqdm.write(f"warning: {what} of step {step} cannot be drawn: {reason}", file=sys.stderr)
