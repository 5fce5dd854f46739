"""The built-in datasets, prepared when they are first used."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any


def open_builtin(name: str, folder: str) -> dict[str, Any]:
    """Open a built-in dataset; prepare it on first use."""
    builder = _builtin_class(name)(data_dir=folder, file_format="array_record")
    if not builder.is_prepared():
        os.makedirs(folder, exist_ok=True)
        # two runs of a sweep may prepare it at the same time
        with open(Path(folder) / f".{name}.lock", "w", encoding="utf-8") as lock:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            builder = _builtin_class(name)(data_dir=folder, file_format="array_record")
            if not builder.is_prepared():
                print(f"preparing {name} in {folder}, once", flush=True)
                with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
                    with contextlib.redirect_stdout(quiet):
                        builder.download_and_prepare()
    return builder.as_data_source()


def _builtin_class(name: str) -> Any:
    """Builder class of a built-in dataset."""
    from .digits import Digits
    from .python_source import PythonDocs, PythonSource

    return {"digits": Digits, "python_source": PythonSource, "python_docs": PythonDocs}[name]
