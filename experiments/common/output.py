"""The picture of a mode: the file it is written to."""

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from data.catalogue import DataError
from train.drawing import save_figure
from train.output import Output, output_of
from train.trained import TrainedRun


def picture_of(run: TrainedRun, mode: str, part: str = "") -> Output:
    """File of a mode's picture: config.picture, which must not exist, or RUN/MODE.png.

    part: text that follows the stem of the name, for a mode that draws several pictures.
    """
    named = run.config.picture
    if named:
        path = Path(named)
        named = str(path.with_stem(path.stem + part))
    return output_of(run.workdir, f"{mode}{part}.png", named)


def save_to(output: Output, figure: Figure) -> str:
    """Write a figure; return the text that names the file. Raises DataError when it cannot be."""
    content = io.BytesIO()
    try:
        save_figure(figure, content, format=output.path.suffix[1:] or "png")
        return output.write(content.getvalue())
    except (OSError, ValueError) as error:  # ValueError: the file extension is no image format
        raise DataError(f"cannot write picture '{output.path}': {error}") from None


def save(figure: Figure, path: str) -> None:
    """Write a figure of a benchmark to an image file, which may exist."""
    save_figure(figure, os.path.expanduser(path))
