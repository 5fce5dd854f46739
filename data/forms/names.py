"""What a wrong name of a dataset probably means, and which names there are."""

import difflib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .folders import walk

LOOKED_AT = 500  # files of a folder
BY_SUFFIX = ("csv", "tsv", "jsonl", "parquet", "arrow", "npz")
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def unknown(name: str, forms: Sequence[str], names: Iterable[str], folder: str) -> str:
    """Message of one line about a name that is no dataset: see `catalogue.unknown_dataset`."""
    available = sorted({*names, *(prepared_datasets(folder) if folder else ())})
    plain = [form for form in forms if ":" not in form]
    known = [*available, *plain, *(catalogue_names() if folder else ())]
    guess = meant(name, forms) or _nearest(name, known)
    hint = f" (did you mean {guess}?)" if guess else ""
    if folder:
        available = [f"{', '.join(available)} (in {folder})"]
    return f"there is no dataset {name!r}{hint}; available: {', '.join([*available, *forms])}"


def prepared_datasets(folder: str) -> list[str]:
    """Names of the prepared datasets in a folder."""
    infos = Path(folder).glob("*/**/dataset_info.json")
    return sorted({"/".join(path.relative_to(folder).parts[:-2]) for path in infos})


def catalogue_names() -> list[str]:
    """Names of the datasets of TFDS, prepared or not."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def meant(name: str, forms: Sequence[str]) -> str:
    """The name that was probably meant, such as text:/tmp/b.txt for /tmp/b.txt; "" if unknown.

    forms: the forms that are accepted, as in text:PATH.
    """
    prefixes = [form.partition(":")[0] for form in forms if ":" in form]
    prefix, _, rest = name.partition(":")
    for path in (name, rest) if prefix not in prefixes else ():
        guess = next((form for form in _forms_of(path) if form in prefixes), "")
        if guess:
            return f"{guess}:{path}"
    near = _nearest(prefix, prefixes)
    return f"{near}:{rest}" if rest and near not in ("", prefix) else ""


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return near[0] if near else ""


def _forms_of(name: str) -> Iterator[str]:
    """Forms that a path may have by its look, the most special one first; none if it is missing."""
    path = Path(os.path.expanduser(name))
    try:
        if not name or not path.exists():
            return
        inside = list(itertools.islice(walk(path), LOOKED_AT)) if path.is_dir() else [path]
    except OSError:  # such as a name that is too long for a path
        return
    suffixes = {Path(p.name.lower().removesuffix(".gz")).suffix for p in inside}
    yield from (form for form in BY_SUFFIX if f".{form}" in suffixes)
    if path.is_dir():
        if any("-ubyte" in p.name for p in inside):
            yield "idx"
        if any(p.suffix.lower() in PICTURES and p.parent != path for p in inside):
            yield "folder"
        if ".wav" in suffixes:
            yield from ("waves", "speech")
        own = [p.name for p in inside if p.parent == path]
        if len([file for file in own if file.startswith("train.") and file != "train.txt"]) > 1:
            yield "pairs"
        if any(".conllu" in file for file in own):
            yield "conllu"
        if any("train" in file for file in own):
            yield from ("words", "conll", "trees")
        yield "lines"
    yield "text"
