"""Start from the variables of another network: loaded by path, and renamed."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import unflatten_dict

from .checkpoint import quiet
from .config import ConfigError
from .paths import SEPARATOR, below, check_matches, paths, short
from .weights import read_variables

SHOWN = 8  # paths of each kind that are printed


def initial_variables(
    variables: Mapping[str, Any], source: str, init_map: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return variables in which those that `source` also has are replaced.

    variables: those of the network before training. source: a run directory, a safetensors file or
    an Orbax checkpoint. init_map: rules OLD>NEW, separated by commas; each renames a path, or all
    paths below it, as in "encoder>reader"; NEW is "-" to skip them. say: prints what was loaded,
    what was left, and what is new. Raises ConfigError when a shape differs, when a rule matches
    nothing, or when nothing can be loaded.
    """
    found = renamed(read_source(Path(os.path.expanduser(source)), say), init_map)
    own = paths(variables)
    common = [path for path in own if path in found]
    for path in common:
        if np.shape(found[path]) != np.shape(own[path]):
            raise ConfigError(
                f"config.init_from: {short(path)} has shape {np.shape(found[path])} in {source}, "
                f"but {np.shape(own[path])} in this network; skip it by "
                f"--config.init_map='{short(path)}>-'"
            )
    if not common:
        raise ConfigError(
            f"config.init_from: {source} has no array of this network; it has "
            f"{listed(found)}, the network has {listed(own)}"
        )
    say(f"loaded {listed(common)}")
    for name, rest in (("left", set(found) - set(own)), ("new", set(own) - set(found))):
        if rest:
            say(f"{name}: {listed(rest)}")
    new = {path: found.get(path, array) for path, array in own.items()}
    return unflatten_dict(new, sep=SEPARATOR)


def with_pretrained(
    variables: Mapping[str, Any], pretrained: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return variables with the values of `pretrained`, by path, where these are not NaN."""
    own = paths(variables)
    for path, values in pretrained.items():
        own[path] = np.where(np.isnan(values), own[path], values)
    return unflatten_dict(own, sep=SEPARATOR)


def read_source(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Arrays by path of a run directory, a safetensors file or an Orbax checkpoint."""
    if (path / "checkpoints").is_dir():
        return paths(read_variables(path, say))
    try:
        if path.is_file():
            from safetensors.numpy import load_file

            return load_file(path)
        if (path / "_METADATA").is_file():
            with quiet(), ocp.StandardCheckpointer() as reader:
                tree = reader.restore(path.absolute())
            return paths(tree if "params" in tree else {"params": tree})
    except Exception as error:  # each library raises types of its own
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise ConfigError(f"config.init_from: cannot read {path}: {reason}") from None
    raise ConfigError(
        f"config.init_from: {path} is not a run directory, a safetensors file or an Orbax "
        "checkpoint"
    )


def renamed(arrays: Mapping[str, Any], init_map: str) -> dict[str, Any]:
    """Arrays by their new paths; the first rule that matches a path applies."""
    rules = []
    for rule in filter(None, map(str.strip, init_map.split(","))):
        old, arrow, new = (word.strip() for word in rule.partition(">"))
        if not (old and arrow and new):
            raise ConfigError(f"config.init_map needs rules OLD>NEW, separated by commas: {rule!r}")
        check_matches("init_map", old, arrays)
        rules.append((old, new))
    result = {}
    for path, array in arrays.items():
        name = short(path)
        old, new = next((each for each in rules if below(name, each[0])), ("", ""))
        if new != "-":
            result[path.removesuffix(name) + new + name.removeprefix(old)] = array
    return result


def listed(every: Iterable[str]) -> str:
    """Number of arrays, and their first paths."""
    names = sorted(map(short, every))
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} arrays: {', '.join(names[:SHOWN])}{more}"
