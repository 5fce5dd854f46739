"""Figures of a run, for files and TensorBoard; one that cannot be drawn causes a warning."""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .background import Background
from .files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        png = png_of(figure)
        replace_file(path.with_name(f"{path.name}.png"), png)
        board.call("picture", step, f"figures/{name}", png)


def _warn(what: str, step: int, error: Exception) -> None:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    tqdm.write(f"warning: {what} of step {step} cannot be drawn: {reason}", file=sys.stderr)


def png_of(figure: "Figure") -> bytes:
    """Picture of a figure in PNG format."""
    plain_texts(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def plain_texts(figure: "Figure") -> None:
    """Make matplotlib draw every text of a figure as it is: two $ do not enclose a formula.

    Texts may come from a user's data. Only the numbers of an axis, which matplotlib writes itself,
    remain formulas.
    """
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    numbers = set()
    for axis in figure.findobj(Axis):
        for ticker, ticks in (
            (axis.major, axis.get_major_ticks()),
            (axis.minor, axis.get_minor_ticks()),
        ):
            if not isinstance(ticker.formatter, FixedFormatter | FuncFormatter):
                numbers |= {id(text) for tick in ticks for text in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set(parse_math=False, usetex=False)
