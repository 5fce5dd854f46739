"""What a wrong name of a dataset probably means: a path without its form, or a misspelt form."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

LOOKED_AT = 500  # files of a folder
BY_SUFFIX = ("csv", "tsv", "jsonl", "parquet", "arrow", "npz")
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


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
    near = difflib.get_close_matches(prefix, prefixes, n=1, cutoff=0.5) if rest else []
    return f"{near[0]}:{rest}" if near and near[0] != prefix else ""


def catalogue_names() -> list[str]:
    """Names of the datasets of TFDS, prepared or not."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def _forms_of(name: str) -> Iterator[str]:
    """Forms that a path may have by its look, the most special one first; none if it is missing."""
    path = Path(name).expanduser()
    try:
        if not name or not path.exists():
            return
        inside = list(itertools.islice(path.rglob("*"), LOOKED_AT)) if path.is_dir() else [path]
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
