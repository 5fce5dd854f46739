"""Texts of the three splits, from a table or from a prepared dataset."""

from collections.abc import Sequence

from ..catalogue import DataError, load_splits
from ..forms.files import SPLIT_NAMES, join_texts
from ..forms.readers import load_tables
from ..forms.splits import complete

COLUMN = "text"


def table_texts(name: str, end: str) -> list[str]:
    """Texts of training, validation and test: the rows of the column "text", one after the other.

    Sets that are missing are made by a hash of each text, see `complete`. `end` is appended to a
    row that does not end with it. Raises DataError when a set has no text.
    """
    form, _, path = name.partition(":")
    rows = {
        split: [text for table in tables for text in table.texts(COLUMN)]
        for split, tables in load_tables(form, path).items()
    }
    texts = []
    for split, own in complete(rows, lambda text: text, path).items():
        if not any(map(str.strip, own)):
            raise DataError(f"there is no text in the {split} set of {path}")
        texts.append("".join(text if text.endswith(end) else text + end for text in own))
    return texts


def prepared_texts(name: str, data_dir: str, forms: Sequence[str], end: str) -> list[str]:
    """Texts of training, validation and test of a prepared dataset with a text feature.

    The elements of each are joined by `join_texts`.
    """
    sources = load_splits(name, data_dir, forms)
    if not set(SPLIT_NAMES) <= set(sources):
        raise DataError(
            f"dataset {name} has splits {sorted(sources)}; a text needs {', '.join(SPLIT_NAMES)}"
        )
    texts = []
    for split in SPLIT_NAMES:
        elements = sources[split].__getitems__(list(range(len(sources[split]))))
        if not elements or "text" not in elements[0]:
            raise DataError(f"dataset {name} has no text")
        try:
            texts.append(join_texts((element["text"].decode() for element in elements), end))
        except UnicodeDecodeError as error:
            raise DataError(f"the text of dataset {name} is not UTF-8: {error.reason}") from None
    return texts
