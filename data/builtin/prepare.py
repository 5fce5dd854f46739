"""The built-in datasets, prepared when they are first used, and again when they are damaged."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

from ..forms.prepared import faulty_description, faulty_shard, open_faults


def open_builtin(name: str, folder: str) -> dict[str, Any]:
    """Open a built-in dataset; prepare it on first use, and when one of its files is damaged."""
    kind = _builtin_class(name)
    configs = [config.name for config in kind.BUILDER_CONFIGS]
    where = Path(folder, name, *configs, str(kind.VERSION))
    builder, _ = _opened(kind, folder, where)
    if builder is None:
        os.makedirs(folder, exist_ok=True)
        # two runs of a sweep may prepare it at the same time
        with open(Path(folder) / f".{name}.lock", "w", encoding="utf-8") as lock:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            builder, fault = _opened(kind, folder, where)
            if builder is None:
                when = f"again: {fault}" if fault else "once"
                print(f"preparing {name} in {folder}, {when}", flush=True)
                if where.exists():
                    shutil.rmtree(where)
                with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
                    with contextlib.redirect_stdout(quiet):
                        builder = kind(data_dir=folder, file_format="array_record")
                        builder.download_and_prepare()
    return builder.as_data_source()


def _opened(kind: Any, folder: str, where: Path) -> tuple[Any, str]:
    """Builder of a prepared dataset, or None and what is wrong with it, "" if nothing is there."""
    if not where.is_dir():
        return None, ""
    if fault := faulty_description(where):
        return None, fault
    try:
        builder = kind(data_dir=folder, file_format="array_record")
        if not builder.is_prepared():
            return None, f"{where} is incomplete"
    except open_faults() as error:
        if isinstance(error, (ImportError, OSError)):
            raise
        return None, str(error).strip().split("\n")[0]
    fault = faulty_shard(builder.info, whole=True)
    return (None, fault) if fault else (builder, "")


def _builtin_class(name: str) -> Any:
    """Builder class of a built-in dataset."""
    from .digits import Digits
    from .python_source import PythonDocs, PythonSource

    return {"digits": Digits, "python_source": PythonSource, "python_docs": PythonDocs}[name]
