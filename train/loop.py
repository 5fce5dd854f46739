"""The training loop. At each step: evaluate, save, draw, next batch, step, log, in this order.

One call of the compiled program may take several steps, if nothing is due between them.
"""

import collections
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from tqdm import tqdm

from .accumulate import check_parts
from .config import RunConfig
from .distributed import should_stop
from .placement import Placement
from .profiling import traced
from .recorder import Recorder, Run, anything_due
from .signals import PreemptedError, stop_signals
from .start import first_states, opened
from .step import Step
from .task import Batch, Experiment, InMemory

IN_FLIGHT = 2  # calls queued behind the one that the device computes
STEPS_PER_CALL, LARGE = 8, 2**24  # on devices other than a CPU, for batches of few bytes


class Output(Protocol):
    """What the loop needs of the recorder of a run, or of several runs."""

    folder: Path

    @property
    def ended(self) -> bool:
        """True when the run is over, even before its last step."""

    def batch(self, step: int) -> Any:
        """Return the placed batch of a step."""

    def record(self, step: int, state: Any, window: Any, stopping: bool) -> None:
        """Evaluate, save and draw, whichever is due after `step` steps."""

    def draw_missing(self, step: int, state: Any) -> None:
        """Draw the figures of a restored step if the run was killed between saving and drawing."""

    def log(self, step: int, window: Any) -> None:
        """Write the metrics of a window."""

    def close(self, end: str, step: int, seconds: float) -> None:
        """Wait until everything is on disk; log how the attempt ended."""


class Start(NamedTuple):
    """Where training starts: steps taken (-1: none, nothing is saved yet), state and windows.

    empty: the window after each logged line.
    """

    step: int
    state: Any
    window: Any
    empty: Any


class Program(NamedTuple):
    """The compiled step; if `number` is above 1, that of up to `number` steps in one call."""

    step: Step
    number: int

    def __call__(self, state: Any, window: Any, batches: Sequence[Any]) -> Any:
        """Take a step for each of at most `number` batches: in one call, if their shapes agree."""
        if self.number == 1:
            return self.step(state, window, *batches)
        shapes = [jax.tree.map(np.shape, batch) for batch in batches]
        equal = shapes.count(shapes[0]) == len(shapes)
        for together in [batches] if equal else [[batch] for batch in batches]:
            padded = (*together, *[together[-1]] * (self.number - len(together)))
            state, window = self.step(state, window, padded, np.int32(len(together)))
        return state, window


def fit(experiment: Experiment, config: RunConfig, workdir: Path) -> dict[str, Any]:
    """Train in `workdir` to the last step, from the latest checkpoint there if there is one.

    Returns the contents of result.json. Raises NonFiniteError; PreemptedError after one of
    STOP_SIGNALS, with a checkpoint saved; ConfigError before anything is trained.
    """
    placement = place(experiment, config)
    check_parts(config, len(placement.devices))
    run = Run(experiment, config, workdir)
    with opened([run]) as ((folder,), batch), stop_signals(config.stop_seconds) as received:
        began = time.perf_counter()
        initial = placement.init(experiment, config.seed, batch)
        empty = placement.copy(initial[1])
        step, ((state, window),) = first_states([run], [initial])
        start = Start(step, placement.spread(state), placement.copy(window), empty)
        del initial, state, window  # otherwise they stay in the memory of the device
        recorder = Recorder(run, folder, placement, step)
        program = compile_steps(placement, experiment, config, batch)
        return recorder.write_result(train(recorder, program, config, start, received, began))


def compile_steps(
    placement: Placement, experiment: Experiment, config: RunConfig, batch: Batch
) -> Program:
    """Compile a call of as many steps as config.steps_per_call says, for batches like `batch`."""
    platform = placement.devices[0].platform
    number = config.steps_per_call or default_steps(platform, batch)
    return Program(placement.compile(experiment, config.accumulate_steps, number > 1), number)


def default_steps(platform: str, batch: Batch) -> int:
    """Return the steps of a call: 1 where a step takes long or batches would fill the memory."""
    size = sum(array.nbytes for array in batch.values())
    return 1 if platform == "cpu" or size > LARGE else STEPS_PER_CALL


def place(experiment: Experiment, config: RunConfig) -> Placement:
    """Return the placement of a run, with its training data if they stay on the devices."""
    placement, source = make_placement(config.parallel, config.batch_size), experiment.train
    if type(placement) is not Placement or not isinstance(source, InMemory):
        return placement
    from .resident import Resident, fits

    auto = config.resident == "auto" and fits(source, placement.devices)
    if auto or config.resident == "always":
        return Resident(config.batch_size, source, placement.devices)
    return placement


def make_placement(parallel: str, batch_size: int) -> Placement:
    """Return the placement that config.parallel names: "jit" or "pmap"."""
    if parallel == "pmap":
        from .pmap import Pmap

        return Pmap(batch_size)
    return Placement(batch_size)


def train(  # noqa: PLR0917
    output: Output,
    program: Program,
    config: RunConfig,
    start: Start,
    received: list[int],
    began: float,
) -> int:
    """Take the steps; return their number. Closes the output, however training ends.

    received: numbers of the stop signals so far. began: time.perf_counter() at the start.
    """
    taken, end = max(start.step, 0), "finished"
    # None: no bar without a terminal
    hidden = True if jax.process_index() else None
    progress = {"total": config.steps, "initial": taken, "unit": "step"}
    try:
        with tqdm(**progress, disable=hidden, dynamic_ncols=True) as bar:
            for number in steps(output, program, config, start, received):
                bar.update(number - taken)
                taken = number
    except BaseException as error:
        end = type(error).__name__
        raise
    finally:
        output.close(end, taken, round(time.perf_counter() - began, 2))
    return taken


def steps(
    output: Output, program: Program, config: RunConfig, start: Start, received: list[int]
) -> Iterator[int]:
    """Take all steps, and yield the number of steps taken after each call; PreemptedError."""
    step, state, window = max(start.step, 0), start.state, start.window
    empty, start_step = start.empty, start.step
    del start  # the step takes over the memory of the state
    in_flight: collections.deque[Any] = collections.deque()
    with traced(config.profiled_steps(), output.folder) as trace:
        for call in itertools.count():
            # asked once per call, so that the message of the error is true: the step is saved
            stopping = should_stop(received, call)
            if step > start_step:  # the restored checkpoint was saved after all this
                output.record(step, state, window, stopping)
            elif not stopping:
                output.draw_missing(step, state)
            if stopping:
                raise PreemptedError(received, step)
            if step == config.steps or output.ended:
                return
            trace(step, window)
            # no reader thread: the loop is ahead of the device anyway, and on a CPU a thread is
            # slower
            number = steps_of_call(config, step, program.number)
            batches = [output.batch(step + i) for i in range(number)]
            state, window = program(state, window, batches)
            del batches
            step += number
            yield step
            in_flight.append(window)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.popleft())
            if step % config.log_every == 0 or step == config.steps:
                output.log(step, window)
                window = empty


def steps_of_call(config: RunConfig, step: int, most: int) -> int:
    """Return the number of steps, at most `most`, from `step` to the next that something is due."""
    return next((i for i in range(1, most) if anything_due(config, step + i)), most)
