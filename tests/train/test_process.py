"""Settings of the process."""

import subprocess
import sys


def test_freed_memory_is_kept():
    code = """
import resource
from train.process import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(2**26)[::4096] = b"x" * 2**14  # a byte in each of 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = faults()
keep_freed_memory()
faults()
print(returned, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    returned, kept = map(int, done.stdout.split())
    assert kept <= returned / 20
