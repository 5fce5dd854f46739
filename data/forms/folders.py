"""The files below a folder, without those that operating systems and editors leave there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

# what Windows, macOS, storage devices and archives add to a folder, in lower case
LEFT_BEHIND = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"),
    *("$recycle.bin", "system volume information", "lost+found", "@eadir"),
}


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, an operating system's own, or an editor's backup copy.

    >>> [name for name in ("._a.wav", ".DS_Store", "Thumbs.db", "a.wav~", "a.wav")
    ...  if not is_left_behind(name)]
    ['a.wav']
    """
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in LEFT_BEHIND


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder at any depth, in no order, except those left behind."""
    for path in folder.rglob("*"):
        if not any(map(is_left_behind, path.relative_to(folder).parts)) and path.is_file():
            yield path


def files_below(folder: Path, suffixes: Sequence[str] = ()) -> list[Path]:
    """Sorted files below a folder at any depth, except those left behind.

    suffixes: endings in lower case, such as .wav, of which a file must have one; () for any.
    """
    return sorted(
        p for p in walk(folder) if not suffixes or p.name.lower().endswith(tuple(suffixes))
    )


def files_in(folder: Path) -> list[Path]:
    """Sorted files directly in a folder, except those left behind."""
    return sorted(p for p in folder.iterdir() if not is_left_behind(p.name) and p.is_file())
