"""A process that is stopped while its main thread is in a library that never returns."""

import subprocess
import sys
import time


def test_a_stop_that_is_not_answered_ends_the_process():
    code = """
import ctypes, os, signal, sys
from train.signals import stop_signals

with stop_signals(0) as received:
    os.kill(os.getpid(), signal.SIGHUP)
    assert received == [signal.SIGHUP]
with stop_signals(0.5):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(100):  # the signal itself interrupts it
        ctypes.CDLL(None).usleep(500_000)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    expected = "error: the run had not ended 0.5 s after a stop signal; run the same command to "
    assert done.stderr == f"{expected}continue from the last checkpoint\n"
    assert time.monotonic() - began < 40
