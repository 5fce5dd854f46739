"""Exit codes and messages of a real process."""

import json

from tests.runs.test_sweeps import SMALL


def test_exit_codes_of_a_real_process(command, tmp_path, text_file):
    words = [
        "-m",
        "experiments.char_lm",
        f"--config.dataset=text:{text_file}",
        *SMALL,
        "--config.eval_every=50",
    ]
    bad = command(*words, f"--workdir={tmp_path / 'a'}", "--config.cell=x")
    assert (bad.returncode, bad.stderr.count("\n"), bad.stdout) == (2, 1, "")
    diverging = ["--config.steps=40", "--config.optimizer=sgd", "--config.learning_rate=1e38"]
    failed = command(*words, f"--workdir={tmp_path / 'b'}", *diverging, "--config.clip_norm=0")
    assert failed.returncode == 3
    assert "not finite at step" in failed.stderr
    assert "Traceback" not in failed.stderr
    attempts = (tmp_path / "b" / "attempts.jsonl").read_text().splitlines()
    assert json.loads(attempts[-1])["event"] == "NonFiniteError"
    assert (tmp_path / "b" / "checkpoints" / "0").is_dir()
