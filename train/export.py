"""--mode=export: a trained network for programs without this project."""

import base64
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from .config import ConfigError
from .output import written
from .paths import paths
from .rundir import read_assets, read_example, read_json, write_json
from .task import Batch, Task, initial_carry
from .trained import TrainedRun

PLATFORMS = ("cpu", "cuda", "tpu")  # on which an exported program runs


def export(run: TrainedRun) -> None:
    """Write the trained network to WORKDIR/export, in the format config.format.

    safetensors: network.safetensors has the arrays by path, and network.json the settings and the
    assets. stablehlo: network.stablehlo is the forward pass with its parameters, read by
    `jax.export.deserialize`, and network.json the inputs.
    """
    folder = run.workdir / "export"
    write = {"safetensors": write_safetensors, "stablehlo": write_stablehlo}[run.config.format]
    try:
        folder.mkdir(exist_ok=True)
        before = set(folder.iterdir())
        files = write(run, folder)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error
    print(*(written(path, path in before) for path in files), sep="\n")


def write_safetensors(run: TrainedRun, folder: Path) -> list[Path]:
    """Write the arrays by path, and a description in JSON; return the paths of both files."""
    from safetensors.numpy import save_file

    arrays = {path: np.asarray(array, order="C") for path, array in paths(run.variables).items()}
    save_file(arrays, folder / "network.safetensors")
    shapes = {path: list(array.shape) for path, array in arrays.items()}
    return [folder / "network.safetensors", describe(run, folder, {"arrays": shapes})]


def write_stablehlo(run: TrainedRun, folder: Path) -> list[Path]:
    """Write the forward pass; return the paths of the program and of its description.

    The program maps (inputs, carry) to (outputs, carry): inputs are arrays by name, the others are
    lists of arrays. Its sizes "b" (rows) and those that `Task.axes` names may be any.
    """
    task, example = run.task, read_example(run.workdir)
    batch = inputs_of(task, example)
    carry, structure = jax.tree.flatten(initial_carry(task, example))

    def forward(batch: Batch, carry: list[Any]) -> tuple[list[Any], list[Any]]:
        state = jax.tree.unflatten(structure, carry)
        outputs, state = task.apply(run.variables, batch, state, train=False)
        return jax.tree.leaves(outputs), jax.tree.leaves(state)

    axes = {name: task.axes.get(name.rpartition("/")[2], "b, ...") for name in batch}
    shapes = jax_export.symbolic_args_specs((batch, carry), (axes, ["b, ..."] * len(carry)))
    program = jax_export.export(jax.jit(forward), platforms=PLATFORMS)(*shapes)
    (folder / "network.stablehlo").write_bytes(program.serialize())
    inputs = {name: form_of(array) for name, array in shapes[0].items()}
    description = describe(
        run, folder, {"inputs": inputs, "carry": [form_of(array) for array in shapes[1]]}
    )
    return [folder / "network.stablehlo", description]


def form_of(array: jax.ShapeDtypeStruct) -> dict[str, Any]:
    """Dtype and shape of an array, with the names of open sizes."""
    shape = [size if isinstance(size, int) else str(size) for size in array.shape]
    return {"dtype": array.dtype.name, "shape": shape}


def inputs_of(task: Task, example: Batch) -> Batch:
    """Arrays of a batch that the model reads."""

    def read(batch: Batch) -> list[Any]:  # an input may also be None or a name
        inputs = jax.tree.leaves(task.inputs(batch))
        return [leaf for leaf in inputs if isinstance(leaf, jax.Array)]

    jaxpr = jax.make_jaxpr(read)(example).jaxpr
    used = {id(var) for each in jaxpr.eqns for var in each.invars} | set(map(id, jaxpr.outvars))
    names = sorted(example)  # the order of the arguments
    return {
        name: example[name]
        for name, var in zip(names, jaxpr.invars, strict=True)
        if id(var) in used
    }


def describe(run: TrainedRun, folder: Path, more: Mapping[str, Any]) -> Path:
    """Write network.json: experiment, settings, assets, and `more`; return its path."""
    environment = read_json(run.workdir / "environment.json")
    path = folder / "network.json"
    write_json(
        path,
        {
            "experiment": environment["experiment"],
            "versions": environment["versions"],
            "config": dataclasses.asdict(run.config),
            "assets": {name: as_json(data) for name, data in read_assets(run.workdir).items()},
            **more,
        },
    )
    return path


def as_json(content: bytes) -> Any:
    """Asset as the JSON value or the text that it contains, otherwise {"base64": ...}."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    try:
        return json.loads(text)
    except ValueError:
        return text
