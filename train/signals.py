"""Signals that stop a run: it is saved, and the same command continues it."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import jax

# before they kill a process, batch systems send one of the first four; a terminal that closes sends
# SIGHUP, and Ctrl-C sends SIGINT
STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class PreemptedError(Exception):
    """A signal stopped the process; the run is saved, and the same command continues it."""

    exit_code = 75

    def __init__(self, received: list[int], step: int):
        name = signal.Signals(received[0]).name if received else "a signal to a process"
        super().__init__(
            f"stopped by {name}, saved at step {step}; run the same command to continue"
        )


def heeded_signals() -> list[signal.Signals]:
    """Return STOP_SIGNALS, without SIGHUP if it is ignored, as under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (ignored and number == signal.SIGHUP)]


@contextlib.contextmanager
def stop_signals(seconds: float) -> Iterator[list[int]]:
    """Collect STOP_SIGNALS; a second Ctrl-C has its usual effect.

    A second SIGTERM is collected like the first: batch systems send it to every process of a job,
    and it must not interrupt the saving that the first one caused. With several processes JAX
    listens to SIGTERM and informs all of them, so the other signals are passed on as SIGTERM. The
    process ends if it is still in this context `seconds` after the first signal; 0: never.
    """
    received: list[int] = []
    several = jax.process_count() > 1
    heeded = heeded_signals()
    handled = [number for number in heeded if not (several and number == signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in handled}

    def stop(number: int, _frame: FrameType | None) -> None:
        if several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            received.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    with _deadline(seconds):
        for number in handled:
            signal.signal(number, stop)
        try:
            yield received
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the process with exit code 75 some seconds after a stop signal; 0: never.

    Python can notify a thread of a signal even while the main thread is in a library that never
    returns.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, seconds), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # ends the thread
        watch.join()
        os.close(reader)


def _watch(reader: int, seconds: float) -> None:
    end: float | None = None
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            text = f"error: the run had not ended {seconds:g} s after a stop signal; run the same "
            os.write(2, (text + "command to continue from the last checkpoint\n").encode())
            os._exit(PreemptedError.exit_code)
        numbers = os.read(reader, 64)
        if not numbers:
            return
        if end is None and seconds and set(numbers) & set(STOP_SIGNALS):
            end = time.monotonic() + seconds
