"""Variables of a trained network, read from its checkpoint without building the network."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from .checkpoint import best_first, checksum, first_readable
from .config import ConfigError
from .paths import paths


def read_variables(workdir: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Variables of a run at its best readable checkpoint, those that are used in evaluation.

    Raises ConfigError when there is no checkpoint, or none is readable.
    """
    folder = workdir / "checkpoints"
    steps = best_first(folder)
    if not workdir.is_dir():
        raise ConfigError(f"there is no folder {workdir}: this needs a trained run")
    if not steps:
        raise ConfigError(f"there is no checkpoint in {folder}: this needs a trained run")
    state, _ = first_readable(folder, steps, read_state, warn)
    params = _averaged(state["opt_state"]) or state["params"]
    return {"params": params, **state["model_state"]}


def read_state(folder: Path, step: int) -> dict[str, Any]:
    """State of a checkpoint as nested dictionaries and lists of arrays on the first device.

    Raises an error of Orbax or TensorStore, of any type, when the checkpoint is damaged; ValueError
    when its checksum does not match.
    """
    path = folder.absolute() / str(step) / "default"
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Orbax warns that a file is missing that it never wrote
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        with ocp.StandardCheckpointer() as reader:
            saved = reader.metadata(path).item_metadata.tree
            target = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), saved
            )
            tree = reader.restore(path, target)
    finally:
        logging.set_verbosity(verbosity)
    # the checksum depends on the order of the leaves, which nested dictionaries do not keep
    metadata = json.loads((path / "_METADATA").read_text(encoding="utf-8"))["tree_metadata"]
    order = [[key["key"] for key in entry["key_metadata"]] for entry in metadata.values()]
    leaves = jax.tree.leaves([_at(tree, keys) for keys in order if keys != ["checksum"]])
    if int(tree["checksum"]) != int(jax.jit(checksum)(leaves)):
        raise ValueError("its checksum does not match its contents")
    return tree["state"]


def check_shapes(found: Mapping[str, Any], expected: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError, with the first difference, unless both have the same arrays by path."""
    found, expected = paths(found), paths(expected)
    for path in sorted({*found, *expected}):
        shapes = [np.shape(tree[path]) if path in tree else None for tree in (found, expected)]
        if shapes[0] != shapes[1]:
            has, needs = ("no such array" if s is None else f"shape {s}" for s in shapes)
            raise ConfigError(f"{path} differs: {source} has {has}, the network has {needs}")


def _at(tree: Any, keys: list[str]) -> Any:
    for key in keys:
        tree = tree[int(key)] if isinstance(tree, list | tuple) else tree[key]
    return tree


def _averaged(opt_state: Any) -> Any:
    """Averaged parameters in the state of an optimizer; None when it keeps none."""
    if isinstance(opt_state, dict):
        if "averaged_params" in opt_state:
            return opt_state["averaged_params"]
        opt_state = list(opt_state.values())
    if isinstance(opt_state, list | tuple):
        return next((found for each in opt_state if (found := _averaged(each))), None)
    return None
