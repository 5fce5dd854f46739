"""What tests of worker processes share."""

import os
import signal
import time


def interrupt_once_heard(pause):
    """Send SIGINT to this process, some seconds after it has a handler of its own for it."""
    deadline = time.monotonic() + 30
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    os.kill(os.getpid(), signal.SIGINT)
