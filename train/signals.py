"""Signals that stop a run: it is saved, and the same command continues it."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

import jax

# batch systems warn with one of the first three before they kill; Ctrl-C is the last
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class PreemptedError(Exception):
    """A signal stopped the process; the run is saved, and the same command continues it."""

    exit_code = 75

    def __init__(self, received: list[int], step: int):
        name = signal.Signals(received[0]).name if received else "a signal to a process"
        super().__init__(
            f"stopped by {name}, saved at step {step}; run the same command to continue"
        )


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect STOP_SIGNALS; a second Ctrl-C has its usual effect.

    A second SIGTERM is collected like the first: batch systems send it to every process of a job,
    and it must not interrupt the saving that the first one caused. With several processes JAX
    listens to SIGTERM and informs all of them, so the other signals are passed on as SIGTERM.
    """
    received: list[int] = []
    several = jax.process_count() > 1
    handled = [number for number in STOP_SIGNALS if not (several and number == signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in handled}

    def stop(number: int, _frame: FrameType | None) -> None:
        if several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            received.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in handled:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
