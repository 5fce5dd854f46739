"""Services beside training, such as TensorBoard: they can neither stop nor delay it."""

import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

SLOTS = 1000  # calls that may wait
CLOSE_SECONDS = 60.0  # for the calls that still wait at the end


class Background:
    """A service that runs in its own thread, where `make` opens it.

    After an error, the next call opens the service again. Calls are dropped while SLOTS of them
    wait. The first error and the first dropped call each print a warning.
    """

    def __init__(self, name: str, make: Callable[[], Any]):
        self.name, self.make = name, make
        self.waiting: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue(SLOTS)
        self.warned: set[str] = set()
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def call(self, method: str, *arguments: Any) -> None:
        """Let the thread call a method of the service; return at once."""
        try:
            self.waiting.put_nowait((method, arguments))
        except queue.Full:
            self._warn("dropped", "it does not answer, so some of the output is missing there")

    def close(self, *arguments: Any, seconds: float = CLOSE_SECONDS) -> None:
        """Close the service after the waiting calls; give up after some seconds."""
        self.call("close", *arguments)
        self.thread.join(seconds)
        if self.thread.is_alive():
            self._warn("dropped", f"it did not close within {seconds:g} s")

    def _work(self) -> None:
        service, method = None, ""
        while method != "close":
            method, arguments = self.waiting.get()
            try:
                service = service or self.make()
                getattr(service, method)(*arguments)
            except Exception as error:  # of any library
                service = None
                self._warn("error", f"{type(error).__name__}: {error}")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            line = " ".join(text.split())[:200]
            tqdm.write(f"warning: {self.name}: {line}; training continues", file=sys.stderr)
