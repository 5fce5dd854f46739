"""The text of --help: modes, then settings by group, then presets."""

import ast
import dataclasses
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .config import GROUPS, RunConfig

WIDTH = 36  # columns of a flag


def usage(config_class: type[RunConfig], modes: Mapping[str, str]) -> str:
    """Return the experiment's docstring, its modes, its settings by group and its presets.

    A setting that only some modes read is listed under each of them.
    """
    fields = dataclasses.fields(config_class)
    docstring = sys.modules[config_class.__module__].__doc__ or ""
    lines = [
        docstring.strip(),
        "\nusage: --workdir=DIR [--mode=MODE] [--flagfile=FILE] [--config.NAME=VALUE ...]\n",
        _row("--workdir=DIR", "run directory; created if it does not exist, else continued"),
        _row("--flagfile=FILE", "file of flags, one per line, such as DIR/flags.txt"),
        "\nmodes:",
        _row("--mode=train", "train the network (the default)"),
    ]
    for mode, name in modes.items():
        lines.append(_row(f"--mode={mode}", _summary(name)))
        own = (field for field in fields if mode in field.metadata["modes"])
        lines += ["  " + _setting(config_class, field) for field in own]
    for group in GROUPS:
        members = [f for f in fields if f.metadata["group"] == group and not f.metadata["modes"]]
        if members:
            lines += [f"\n{group}:", *(_setting(config_class, field) for field in members)]
    if config_class.PRESETS:
        lines += ["\npresets:", *_presets(config_class)]
    return "\n".join(lines)


def _row(flag: str, text: str) -> str:
    return f"  {flag:<{WIDTH}} {text}".rstrip()


def _summary(name: str) -> str:
    """First line of the docstring of a mode, read from its source: the module may load slowly."""
    module, _, function = name.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no module {module}")
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").split("\n")[0].rstrip(".")
    raise AttributeError(f"{module} has no function {function}")


def _setting(config_class: type[RunConfig], field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    choices = config_class.PRESETS if field.name == "preset" else meta["choices"]
    text = "; ".join(filter(None, (meta["help"], meta["note"])))
    return _row(
        f"--config.{field.name}={field.default}",
        text + (f" ({', '.join(choices)})" if choices else ""),
    )


def _presets(config_class: type[RunConfig]) -> Iterator[str]:
    for name, values in config_class.PRESETS.items():
        yield f"  --config.preset={name}"
        line = "    "
        for setting, value in values.items():
            word = f" {setting}={value}"
            if len(line + word) > 100:
                yield line
                line = "    "
            line += word
        yield line
