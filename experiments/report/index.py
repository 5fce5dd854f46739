"""What `python -m experiments` says of each experiment, kept in experiments/index.json.

The list would otherwise import all experiments, and with them jax, which takes seconds.
`python -m experiments.report.systems` writes the file.
"""

import dataclasses
import importlib
import json
import shlex
from pathlib import Path
from typing import Any


def experiment_names(folder: Path) -> list[str]:
    """Names of the experiments, which are the public modules of the package in a folder."""
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


def describe(name: str) -> dict[str, Any]:
    """What an experiment, which is imported, says of itself; its time is not known here."""
    module = importlib.import_module(f"experiments.{name}")
    return {
        "summary": (module.__doc__ or "").partition("\n")[0],
        "data": module.Config().dataset,
        "time": "",
        "modes": list(getattr(module, "MODES", {})),
    }


def make_index(folder: Path) -> str:
    """JSON of `describe` for all experiments, with the times that `folder`/results has of them."""
    index = {name: describe(name) for name in experiment_names(folder)}
    for path in sorted((folder / "results").glob("[!.]*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if name := default_run(result):
            (row,) = result["rows"]
            if (time := mean_time(row["seconds"])) != "-":
                index[name]["time"] = f"{time} ({result['machine'].rpartition(', ')[2]})"
    return json.dumps(index, indent=1, ensure_ascii=False) + "\n"


def default_run(result: dict[str, Any]) -> str:
    """Name of the experiment whose default settings, of today, a result measured; "" if none."""
    flags = shlex.split(result["command"])[2:]
    settings = [word for word in flags if word.startswith(("--config.", "--flagfile=", "--zip="))]
    swept = [word for word in flags if word.startswith("--sweep=")]
    names = [word[13:] for word in flags if word.startswith("--experiment=")]
    if not names or settings or not all(word.startswith("--sweep=seed=") for word in swept):
        return ""
    config = importlib.import_module(f"experiments.{names[0]}").Config()
    defaults = json.loads(json.dumps(dataclasses.asdict(config)))
    modes = {field.name for field in dataclasses.fields(config) if field.metadata["modes"]}
    recorded = {name: value for name, value in result["config"].items() if name not in modes}
    same = all(defaults.get(name) == value for name, value in recorded.items())
    return names[0] if same else ""


def mean_time(seconds: list[float | None]) -> str:
    """Mean time of a run; "-" if a run was killed, which makes its time unknown."""
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        return "-"
    mean = sum(known) / len(known)
    return f"{mean:.0f} s" if mean < 100 else f"{mean / 60:.1f} min"
