"""Searches with optuna, with a short script instead of the experiments."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import launch
from jobs import local, search
from jobs.run import ROOT, Run
from jobs.space import Choice, Range, parse_space, samples
from jobs.status import sweep_status
from jobs.sweep import UsageError, run_names
from tests.jobs.conftest import interrupt_once_handled

# loss at step s of 4: (x - 0.3)^2 + 1 / s, plus 1 for c=b; at step 0 it is meaningless. Files
# beside the folder: .stick makes bad runs wait for a signal, .on lets those of c=stopped continue
SCRIPT = """
import json, os, pathlib, signal, sys, time
folder, settings = pathlib.Path(sys.argv[1]), dict(t.split("=") for t in sys.argv[2:])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
folder.mkdir(exist_ok=True)
print("begun", flush=True)
x, c = float(settings.get("x", 0)), settings.get("c")
if c == "fails" or c == "stopped" and not (folder.parent / ".on").exists():
    sys.exit("error: it fails" if c == "fails" else 75)
with open(folder / "metrics.jsonl", "w") as file:
    for step in (0, 1, 2, 3, 4):
        loss = (x - 0.3) ** 2 + 1 / step + (c == "b") if step else 9 - x
        lines = [{"step": step, "train/loss": 9.0}, {"step": step, "validation/loss": loss}]
        print(*map(json.dumps, lines), sep="\\n", file=file, flush=True)
        if step == 2 and x > 0.75 and (folder.parent / ".stick").exists():
            time.sleep(60)
loss = float("nan") if c == "nan" else loss
(folder / "result.json").write_text(json.dumps({"metrics": {"validation/loss": loss}}))
print("ended", flush=True)
"""


def fake_runs(_, folder, config, sets):
    start = (sys.executable, "-S", "-c", SCRIPT)
    return [
        Run(name, overrides, folder / name, (*start, str(folder / name), *overrides))
        for name, overrides in zip(run_names(sets), sets, strict=True)
    ]


def fake_check(_, runs):
    return [4] * len(runs)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    monkeypatch.setattr(local, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(search, "make_runs", fake_runs)
    monkeypatch.setattr(search, "check_runs", fake_check)


def begin(folder, *space, trials=6, workers=1, **more):
    options = {"sampler": "tpe", "objective": "validation/loss", "direction": "minimize", **more}
    spec = search.Search("char_lm", folder, [], space, trials=trials, **options)
    return search.run_search(spec, workers)


def trials_in(folder):
    """State and value of each trial."""
    trials = json.loads((folder / "search.json").read_text())["trials"]
    assert [trial["number"] for trial in trials] == list(range(len(trials)))
    return [(trial["state"], trial["value"]) for trial in trials]


def settings_in(folder):
    """Settings of each trial."""
    trials = json.loads((folder / "search.json").read_text())["trials"]
    return [dict(text.split("=") for text in trial["settings"]) for trial in trials]


def check_states(folder):
    """Check state and value of each trial over x; return the x of all and of complete trials.

    After five complete trials, a trial that is worse than their median at a step before the last
    ends there, unless another trial with its settings is complete.
    """
    xs, complete = [float(settings["x"]) for settings in settings_in(folder)], []
    for x, (state, value) in zip(xs, trials_in(folder), strict=True):
        losses = losses_of(x)
        medians = np.median([losses_of(y) for y in complete or [x]], axis=0)[:3]
        bad = [len(complete) >= 5 and a > b for a, b in zip(losses, medians, strict=False)]
        stops = any(bad) and x not in complete
        assert state == ("pruned" if stops else "complete"), x
        assert value == losses[bad.index(True) if stops else 3]
        complete += [] if stops else [x]
    return xs, complete


def losses_of(x):
    return [(x - 0.3) ** 2 + 1 / step for step in (1, 2, 3, 4)]


def test_space_grammar():
    texts = ["rate=1e-4..1e-1:log", "hidden=32..512", "n=1..8:log", "x=-.5..1", "c=rnn,gru,rnn"]
    space = parse_space([*texts, "w=[(3,4),(5,)]"])
    assert space == [
        Range("rate", 1e-4, 0.1, True),
        Range("hidden", 32, 512, False),
        Range("n", 1, 8, True),
        Range("x", -0.5, 1.0, False),
        Choice("c", ("rnn", "gru")),
        Choice("w", ("(3, 4)", "(5,)")),
    ]
    assert [type(d.low) for d in space[:4]] == [float, int, int, float]
    assert samples(space[1:3] + space[4:5]) == [
        ("hidden=32", "n=1", "c=rnn"),
        ("hidden=512", "n=1", "c=rnn"),
        ("hidden=32", "n=8", "c=rnn"),
        ("hidden=32", "n=1", "c=gru"),
    ]


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["rate"], "--space=rate must be NAME=VALUES"),
        (["a=2..1"], "--space=a=2..1: the start of a range must be below its end"),
        (["a=1..1"], "must be below"),
        (["a=0..1e999"], "must be below"),
        (["a=0..1:log"], "must start above 0"),
        (["a=1,2", "a=1..2"], "two --space flags have the same setting, a"),
    ],
)
def test_bad_spaces_are_refused(texts, part):
    with pytest.raises(UsageError) as caught:
        parse_space(texts)
    assert part in str(caught.value)


def test_dry_run_checks_the_space_and_starts_nothing(tmp_path, capsys):
    words = ["launch.py", "--experiment=char_lm", f"--workdir={tmp_path / 's'}", "--search=tpe"]
    words += ["--objective=validation/loss", "--trials=6", "--dry_run"]
    assert launch.command_line([*words, "--space=x=0.0..1.0"]) == 0
    assert capsys.readouterr().out == "6 trials of 4 steps\n"
    assert launch.command_line([*words, "--space=x=1..0"]) == 2
    assert not (tmp_path / "s").exists()


def test_bad_trials_are_pruned_and_the_best_is_found(tmp_path, capsys):
    assert begin(tmp_path, "x=0.0..1.0", trials=6) == 0
    (tmp_path / ".stick").touch()  # from now on a bad run takes a minute unless it is stopped
    assert begin(tmp_path, "x=0.0..1.0", trials=16) == 0
    assert "6 of 16 trials have already ended" in capsys.readouterr().out
    xs, complete = check_states(tmp_path)
    assert len(xs) == 16
    states = {s.name: s.state for s in sweep_status(tmp_path)}
    stuck = [f"x={x}" for x in xs[6:] if x > 0.75]
    assert stuck
    for name in stuck:
        assert states[name] == "pruned"
        assert "ended" not in (tmp_path / f"{name}.log").read_text()
    best = min(complete, key=lambda x: (x - 0.3) ** 2)
    assert begin(tmp_path, "x=0.0..1.0", trials=16) == 0  # there is nothing left to do
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "16 of 16 trials have already ended"
    assert out[1].startswith(f"16 of 16 trials: {len(complete)} complete, {16 - len(complete)} ")
    assert out[2].startswith(f"best: trial {xs.index(best)}, validation/loss 0.2")
    assert out[3:] == [f"  --config.x={best}"]


def test_launcher_that_is_killed_makes_the_same_trials(tmp_path):
    space = ["x=0.0..1.0", "n=1..1000:log", "c=a,b"]
    begin(tmp_path / "quiet", *space, trials=14)
    rng = random.Random(4)
    for known in (3, 11, None):
        words = [sys.executable, __file__, str(tmp_path / "killed"), "14", *space]
        process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + 30
        while known and process.poll() is None and time.monotonic() < deadline:
            record = tmp_path / "killed" / "search.json"
            if record.exists() and len(json.loads(record.read_text())["trials"]) >= known:
                time.sleep(rng.uniform(0, 0.05))
                break
        process.send_signal(signal.SIGKILL if known else 0)
        assert process.wait() == (-signal.SIGKILL if known else 0)
        with open(tmp_path / "killed" / "study.log", "ab") as file:
            file.write(b'{"op_code"')  # a truncated line
    assert trials_in(tmp_path / "killed") == trials_in(tmp_path / "quiet")
    assert settings_in(tmp_path / "killed") == settings_in(tmp_path / "quiet")


def test_trials_with_the_same_settings_share_a_run(tmp_path):
    assert begin(tmp_path / "a", "c=a", trials=4, workers=3) == 0  # also while it is running
    assert trials_in(tmp_path / "a") == [("complete", 0.3**2 + 1 / 4)] * 4
    assert (tmp_path / "a" / "c=a.log").read_text().count("begun") == 1
    folder = tmp_path / "x"
    assert begin(folder, "x=0..6", trials=30, sampler="random") == 0
    xs, complete = check_states(folder)
    assert len(complete) > len(set(complete))
    assert len(xs) - len(complete) > len(set(xs) - set(complete))  # also with pruned ones
    logs = [path.read_text().count("begun") for path in folder.glob("x=*.log")]
    assert logs == [1] * len(set(xs))


def test_failed_and_stopped_trials(tmp_path, capsys):
    assert begin(tmp_path, "c=a,fails,nan,stopped", trials=9, sampler="random") == 75
    out, err = capsys.readouterr()
    assert "error: c=fails: exit 1; last lines of " in err
    assert "  error: it fails\n" in err
    assert "c=stopped: stopped; run the same command to continue" in out
    known = trials_in(tmp_path)
    counts = {state: [s for s, _ in known].count(state) for state in ("complete", "failed", "open")}
    assert min(counts.values()) >= 1
    assert sum(counts.values()) == 9
    (tmp_path / ".on").touch()
    assert begin(tmp_path, "c=a,fails,nan,stopped", trials=9, sampler="random") == 1
    value = 0.3**2 + 1 / 4
    again = trials_in(tmp_path)
    assert again == [(("complete", value) if pair[0] == "open" else pair) for pair in known]


def test_largest_is_found(tmp_path, capsys):
    assert begin(tmp_path, "x=1..4", trials=5, direction="maximize") == 0
    values = [value for _, value in trials_in(tmp_path)]
    best = f"best: trial {values.index(max(values))}, validation/loss {max(values):.6g}\n"
    assert best in capsys.readouterr().out


def test_ctrl_c_leaves_the_trials_to_the_next_launch(tmp_path, capsys):
    (tmp_path / ".stick").touch()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Thread(target=interrupt_once_handled, args=(1.0,))  # both trials have started
    timer.start()
    try:
        assert begin(tmp_path, "x=8,9", trials=2, workers=2) == 75
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert "2 of 2 trials: 2 open" in capsys.readouterr().out
    (tmp_path / ".stick").unlink()
    assert begin(tmp_path, "x=8,9", trials=2, workers=2) == 0


def test_another_search_in_the_folder_is_refused(tmp_path, capsys):
    with pytest.raises(UsageError, match=r"validation/los is not .*did you mean validation/loss"):
        begin(tmp_path, "c=a,b", trials=2, objective="validation/los")
    assert begin(tmp_path, "c=a,b", trials=2) == 0  # there is no result yet: it may be corrected
    assert (tmp_path / "c=b.log").read_text().count("begun") == 1
    for space, more in ((("c=a,x",), {}), (("c=a,b",), {"direction": "maximize"})):
        with pytest.raises(
            UsageError, match=r"contains another search, --obj.* --space=c=a,b: give"
        ):
            begin(tmp_path, *space, trials=2, **more)
    for text, reason in (("{", ":1: this line is damaged"), ('{"op": 1}', " is not the log of a")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "study.log").write_text(f"{text}\n")
        with pytest.raises(UsageError, match=rf"study\.log{reason}"):
            begin(tmp_path / "other", "c=a,b", trials=2)
    with open(tmp_path / "study.log") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another launch is searching in"):
            begin(tmp_path, "c=a,b", trials=2)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--search=tpe", "--space=a=1,2"], "--search needs --objective=METRIC"),
        (["--search=tpe", "--objective=a"], "--search needs --objective=METRIC and --space"),
        (
            ["--search=tpe", "--objective=test/loss", "--space=a=1,2"],
            "--objective=test/loss would choose settings by a test set; "
            "use --objective=validation/loss",
        ),
        (
            ["--search=random", "--objective=heldout_best/accuracy", "--space=a=1,2"],
            "use --objective=validation/accuracy",
        ),
        (["--search=grid"], "search"),
        (["--search=tpe", "--sweep=a=1"], "from --space and does not allow --sweep"),
        (
            ["--search=tpe", "--config.replicas=2"],
            "one run per trial and does not allow --config.replicas=2",
        ),
        (["--search=tpe", "--result=a"], "does not allow --result"),
        (["--search=tpe", "--backend=print"], "does not allow --backend=print"),
        (["--space=a=1,2"], "need --search=tpe or --search=random"),
        (["--search=tpe", "--objective=a", "--space=a=1,2", "--workdir=/proc/x"], "cannot write"),
    ],
)
def test_bad_command_lines_are_refused_in_one_line(capsys, words, part):
    words = ["launch.py", "--experiment=lenet5", "--workdir=x", *words]
    assert launch.command_line(words) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert part in stderr


def test_search_from_the_command_line_ends_with_the_report(tmp_path, monkeypatch, capsys):
    commands = []

    def fake_report(words, **_):
        commands.extend(words)
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(launch.subprocess, "run", fake_report)
    words = ["launch.py", "--experiment=char_lm", f"--workdir={tmp_path}", "--search=random"]
    words += ["--objective=validation/loss", "--space=x=1..4", "--trials=2", "--format=csv"]
    assert launch.command_line(words) == 0
    assert "2 of 2 trials: 2 complete" in capsys.readouterr().out
    assert commands[2:] == ["experiments.report", f"--workdir={tmp_path}", "--format=csv"]
    assert {status.state for status in sweep_status(tmp_path)} == {"done"}


def test_without_optuna_one_line_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jobs.search", None)
    words = ["--experiment=lenet5", "--workdir=x", "--search=tpe"]
    assert launch.command_line(["launch.py", *words]) == 2
    assert capsys.readouterr().err.startswith("error: --search needs the extra [search]: ")


if __name__ == "__main__":
    search.make_runs, search.check_runs = fake_runs, fake_check
    local.POLL_SECONDS = 0.005
    begin(Path(sys.argv[1]), *sys.argv[3:], trials=int(sys.argv[2]))
