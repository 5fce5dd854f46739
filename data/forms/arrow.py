"""Parquet and Arrow files, and data sets that Hugging Face's `datasets` saved to a folder.

`datasets` itself is not needed: such a folder has data-*.arrow, state.json and dataset_info.json; a
dict of splits has a sub-folder of this kind for each, and dataset_dict.json.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..catalogue import DataError
from .files import by_split, listed, nearest_file
from .folders import files_in
from .table import Table


def parquet_table(path: Path) -> Table:
    """Table of a Parquet file; columns are read when they are needed."""
    _arrow_library()
    import pyarrow.parquet as pq

    file = _opened(path, lambda: pq.ParquetFile(str(path)))

    def column(name: str) -> list[Any]:
        return _opened(path, lambda: file.read(columns=[name]).column(name).to_pylist())

    schema = file.schema_arrow
    return _table(path, schema, file.metadata.num_rows, column)


def arrow_table(path: Path) -> Table:
    """Table of an Arrow file or stream, which is mapped into memory."""
    pa = _arrow_library()

    def load() -> Any:
        source = pa.memory_map(str(path))
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:  # streams have no magic bytes
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()

    table = _opened(path, load)
    return _table(path, table.schema, len(table), lambda name: table.column(name).to_pylist())


def dataset_files(folder: Path) -> dict[str, list[Path]]:
    """Arrow files of each split of a folder that `datasets` saved; {} for anything else."""
    if (folder / "dataset_dict.json").is_file():
        names = _json(folder / "dataset_dict.json").get("splits", [])
        found = by_split(folder / name for name in names)
        splits = {split: paths[0] for split, paths in found.items() if paths}
        if not splits:
            raise DataError(f"{folder} has the splits {listed(names)}; needs train")
        return {split: _shards(path) for split, path in splits.items()}
    if folder.is_dir() and (files := _shards(folder)):
        return {"train": files}
    return {}


def _shards(folder: Path) -> list[Path]:
    """Arrow files of one split, in their order."""
    if (folder / "state.json").is_file():
        named = _json(folder / "state.json").get("_data_files", [])
        return [folder / file["filename"] for file in named]
    return [path for path in files_in(folder) if path.match("data-*.arrow")]


def _table(path: Path, schema: Any, rows: int, read: Callable[[str], list[Any]]) -> Table:
    """Table of a schema, with the names of classes that `datasets` describes in it or beside it."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata:
        features = json.loads(metadata).get("info", {}).get("features", {})
    elif (path.parent / "dataset_info.json").is_file():
        features = _json(path.parent / "dataset_info.json").get("features") or {}
    else:
        features = {}
    classes = {
        name: tuple(feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    return Table(path, tuple(schema.names), "row", range(1, rows + 1), read, classes)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from None


def _opened(path: Path, load: Callable[[], Any]) -> Any:
    """Result of load(); DataError, naming the file, when it is damaged or missing."""
    pa = _arrow_library()
    if not path.is_file():
        raise DataError(f"there is no file {path}{nearest_file(path)}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    try:
        return load()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {str(error).strip().splitlines()[0]}") from None


def _arrow_library() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise DataError(
            "parquet: and arrow: need pyarrow, which the extra [data] installs: "
            "pip install '.[data]'"
        ) from None
    return pyarrow
