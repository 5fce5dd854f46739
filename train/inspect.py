"""--mode=summary and --mode=check: what a run consists of and costs, before it is started."""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn

from .accumulate import check_parts
from .checkpoint import Checkpoints
from .config import RunConfig
from .evaluate import Evaluator
from .loop import make_placement
from .start import print_data
from .task import Build, initial_carry

TIMED = 3  # steps


def summary(build: Build, config: RunConfig) -> None:
    """Print the layers with their parameters, the cost of a step, and the sizes of the data."""
    experiment = build(config)
    task, batch = experiment.task, experiment.train(0)
    arguments = task.arguments(batch, initial_carry(task, batch))
    style = {"width": 110, "force_terminal": sys.stdout.isatty()}
    table = nn.tabulate(task.model, {"params": jax.random.key(0)}, console_kwargs=style)
    print(table(*arguments, train=False))
    placement = make_placement(config.parallel, config.batch_size)
    check_parts(config, len(placement.devices))
    state, window = placement.init(experiment, config.seed, batch)
    step = placement.compile(experiment, config.accumulate_steps)
    placed = placement.spread(state), placement.copy(window), placement.put_batch(batch)
    lowered = step.lower(*placed)  # type: ignore[attr-defined]
    cost = lowered.compile().cost_analysis()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    print(f"parameters: {parameters:,}")
    devices = len(placement.devices)
    where = f" on each of {devices} devices" if devices > 1 else ""
    # XLA does not know how often a loop runs
    print(
        f"a step{where}: {cost['flops']:,.0f} FLOPs, {cost['bytes accessed']:,.0f} bytes accessed; "
        "a loop over time counts as one of its steps"
    )
    print_shapes(batch)
    print_data(experiment.provenance)


def check(build: Build, config: RunConfig) -> None:
    """Build everything, take a few steps, evaluate, save, and print the cost of the run.

    All is written to a temporary folder.
    """
    began = time.perf_counter()
    experiment = build(config)
    batch = experiment.train(0)
    print_data(experiment.provenance)
    data = report("data", began)
    placement = make_placement(config.parallel, config.batch_size)
    check_parts(config, len(placement.devices))
    state, window = placement.init(experiment, config.seed, batch)
    step = placement.compile(experiment, config.accumulate_steps)
    placed = placement.spread(state), placement.copy(window)
    times = []
    for number in range(1 + TIMED):
        start = time.perf_counter()
        placed = jax.block_until_ready(step(*placed, placement.put_batch(experiment.train(number))))
        times.append(time.perf_counter() - start)
    print(f"first step, with compilation: {times[0]:.1f} s")
    each = min(times[1:])
    print(f"each step: {1000 * each:.1f} ms")
    state, window = placement.gather(placed[0]), placement.one(placed[1])
    start = time.perf_counter()
    name, batches = next(iter(experiment.evals.items()))
    values = Evaluator(experiment.task, placement)(state.variables, batches)
    evaluation = report(f"evaluation on {name}, with compilation, loss {values['loss']:.4f}", start)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        checkpoints = Checkpoints(Path(folder) / "checkpoints")
        checkpoints.save(1 + TIMED, state, window)
        checkpoints.close()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        saving = report(f"checkpoint of {size / 1e6:.1f} MB", start)
    evaluations = config.steps // config.eval_every + 1
    saves = config.steps // config.save_every + evaluations
    total = data + times[0] + config.steps * each + evaluations * evaluation + saves * saving
    print(
        f"the run: {config.steps} steps, {evaluations} evaluations: about {total:.0f} s, without "
        "figures and final evaluations"
    )


def report(name: str, start: float) -> float:
    """Print and return the seconds since `start`."""
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.1f} s", flush=True)
    return seconds


def print_shapes(batch: Mapping[str, Any]) -> None:
    """Print the arrays of a batch."""
    for name, array in batch.items():
        print(f"batch: {name:<20} {array.dtype} {list(array.shape)}")
