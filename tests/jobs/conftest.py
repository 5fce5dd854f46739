"""Helpers for tests of worker processes."""

import os
import signal
import time


def interrupt_once_handled(pause):
    """Send SIGINT to this process, `pause` seconds after it has installed a handler for it."""
    deadline = time.monotonic() + 30
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    os.kill(os.getpid(), signal.SIGINT)
