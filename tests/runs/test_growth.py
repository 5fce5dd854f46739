"""Measurements of growth that are stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_stopped_measurement_leaves_no_text(tmp_path):
    words = ["-m", "bench.growth", "--rows", "text, first", "--most", "text, first=10_000_000"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("text")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(tmp_path.rglob("text"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
