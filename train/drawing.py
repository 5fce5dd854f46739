"""The look of every picture: colours, line styles, markers, fonts, and the file of a figure."""

import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter
from matplotlib.transforms import ScaledTranslation

# The colours of Okabe and Ito, "Color universal design", 2008, which people with any kind of colour
# blindness can tell apart; without their yellow, which is too faint for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = "os^DvP*X"
OUTLINE = (withStroke(linewidth=2, foreground="white"),)  # path effects of text over a picture
INTERVAL_RUNS = 3  # fewest runs whose 95 % interval is drawn; that of two covers half of a picture
SHARE = re.compile(r"accuracy|precision|recall|within|grammatical|reproduced|(_iu|f1|true)$")
LOG_SPAN = 20  # positive numbers that span more than this factor get a logarithmic axis


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of line `number` of a picture; the first 28 differ from one another."""
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}


def marker_style(number: int) -> dict[str, Any]:
    """Colour and marker of group `number` of points; the first 56 differ from one another."""
    return {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}


def is_logarithmic(values: Iterable[float]) -> bool:
    """Whether numbers need a logarithmic axis: they span a factor above 20, or are on such a grid.

    Three or more numbers are on such a grid if their ratios vary little, and much less than their
    differences: 0.001, 0.003, 0.01, but not 10, 12, 14.
    """
    x = np.unique(np.array(list(values), float))
    if not len(x) or x[0] <= 0 or not np.isfinite(x[-1]):
        return False
    if len(x) < 3 or x[-1] > LOG_SPAN * x[0]:
        return bool(x[-1] > LOG_SPAN * x[0])
    ratios, differences = (steps.std() / steps.mean() for steps in (np.diff(np.log(x)), np.diff(x)))
    return bool(ratios < 0.25 and ratios < 0.5 * differences)


def limit_share(axis: Axes, metric: str, values: Iterable[float]) -> None:
    """Keep the vertical axis of a share, such as an accuracy, between 0 and 1.

    metric: name of the values; an accuracy in percent, above 1, is no share. An interval that
    extends beyond 1 is cut off.
    """
    if SHARE.search(metric) and all(0 <= value <= 1 for value in values):
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, 0), min(high, 1))


def legend_below(axis: Axes, **options: Any) -> None:
    """Draw the legend of an axis below its label, where it covers no data.

    options: those of `Axes.legend`, such as ncols and fontsize.
    """
    half_an_inch = ScaledTranslation(0, -0.5, axis.figure.dpi_scale_trans)
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axis.transAxes + half_an_inch,
        frameon=False,
        **options,
    )


def save_figure(figure: Figure, file: Any, **options: Any) -> None:
    """Write a figure to a path or an open file, with texts that every installed font can draw."""
    plain_texts(figure)
    with any_weight():
        figure.savefig(file, dpi=120, **options)


def png_of(figure: Figure) -> bytes:
    """Picture of a figure in PNG format."""
    file = io.BytesIO()
    save_figure(figure, file, format="png")
    return file.getvalue()


def plain_texts(figure: Figure) -> None:
    """Make matplotlib draw every text of a figure as it is, in fonts that have its characters.

    Texts may come from a user's data: two $ do not enclose a formula, and a character that no
    installed font has is drawn as its code point, such as \\u65e5. Only the numbers of an axis,
    which matplotlib writes itself, remain formulas.
    """
    numbers = set()
    for axis in figure.findobj(Axis):
        for minor in (False, True):
            ticker = axis.minor if minor else axis.major
            ticks = axis.get_minor_ticks() if minor else axis.get_major_ticks()
            if not isinstance(ticker.formatter, FixedFormatter | FuncFormatter):
                numbers |= {id(text) for tick in ticks for text in (tick.label1, tick.label2)}
            elif isinstance(ticker.locator, FixedLocator) and ticks:
                places = axis.get_ticklocs(minor=minor).tolist()
                labels = list(map(str, ticker.formatter.format_ticks(places)))
                if not all(map(is_plain, labels)):
                    font = ticks[0].label1.get_fontproperties()
                    axis.set_ticklabels([drawable(x, font) for x in labels], minor=minor)
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set(parse_math=False, usetex=False)
            if not is_plain(text.get_text()):
                choose_fonts(text)


def is_plain(text: str) -> bool:
    """Whether all characters are printable ones of ASCII, or newlines."""
    return all(" " <= character <= "~" or character == "\n" for character in text)


def choose_fonts(text: Text) -> None:
    """Add the fonts to a text that its characters need, and escape those that no font has."""
    font = text.get_fontproperties()
    shown, families = drawable(text.get_text(), font), list(font.get_family())
    for character in dict.fromkeys(shown):
        if character != "\n" and not has(font, families, character):
            families.append(next(f for f in other_families() if has(font, [f], character)))
    text.set(text=shown, fontfamily=families)


def drawable(text: str, font: FontProperties | None = None) -> str:
    """Text with escapes such as \\u65e5 in place of the characters that no installed font has."""
    font = font or FontProperties()
    missing = {
        character
        for character in set(text) - {"\n"}
        if not is_plain(character)
        and not has(font, font.get_family(), character)
        and not any(has(font, [family], character) for family in other_families())
    }
    escapes = {ord(c): c.encode("unicode_escape").decode("ascii") for c in missing}
    return text.translate(escapes)


def has(font: FontProperties, families: Sequence[str], character: str) -> bool:
    """Whether one of the families has a character in the weight and style of a font."""
    for family in families:
        of_family = font.copy()
        of_family.set_family(family)
        with any_weight():
            path = fontManager.findfont(of_family)
        if ord(character) in characters_of(path):
            return True
    return False


@contextmanager
def any_weight() -> Iterator[None]:
    """Keep matplotlib from warning that a font with the needed characters has another weight."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@cache
def characters_of(path: str) -> frozenset[int]:
    """Code points of the characters of a font file."""
    return frozenset(get_font(path).get_charmap())


@cache
def other_families() -> tuple[str, ...]:
    """Installed families; of those that matplotlib brings, only the ones with real characters."""
    brought, real = Path(matplotlib.get_data_path()), ("DejaVu Sans", "STIXGeneral")
    entries = fontManager.ttflist
    names = {e.name for e in entries if e.name in real or brought not in Path(e.fname).parents}
    return tuple(sorted(names, key=lambda name: (name != real[0], name)))
