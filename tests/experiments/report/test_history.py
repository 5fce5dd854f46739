"""The picture and the text of the samples of a language model during training."""

import json

import pytest

from experiments.report import history
from experiments.report.runs import load_runs


@pytest.fixture
def run(tmp_path):
    """Folder of a run of 100 steps with six samples."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "config.json").write_text('{"steps": 100, "seed": 0}')
    for step in range(0, 101, 20):
        text = f"\n$ step {step}\n" + "ab" * 40 + "\n\nend\n"
        (tmp_path / "figures" / f"sample-{step:07d}.txt").write_text(text)
    lines = [{"step": step, "train/loss": 4 - step / 50} for step in range(10, 101, 10)]
    lines += [{"step": step, "validation/loss": 3.0 - step / 50} for step in (0, 50, 100)]
    lines[-1]["validation/bits_per_word"] = 1.0
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_curves_and_samples_are_those_of_the_run(run, capsys):
    loaded = load_runs(run)[0]
    samples = history.texts(loaded)
    assert list(samples) == [0, 20, 60, 100]
    axes = history.draw(loaded, samples).axes
    train, validation, *marks = axes[0].lines
    assert train.get_xydata().tolist() == [[step, 4 - step / 50] for step in range(10, 101, 10)]
    assert validation.get_xydata().tolist() == [[0, 3], [50, 2], [100, 1]]
    assert [mark.get_xdata()[0] for mark in marks] == list(samples)
    assert axes[0].get_title() == "loss during training"
    assert axes[0].get_ylabel() == "loss in nats per word"
    titles = [f"{'ABCD'[i]}: step {step}" for i, step in enumerate(samples)]
    assert [axis.get_title("left") for axis in axes[1:]] == titles
    assert [text.get_text() for text in axes[0].texts] == ["A", "B", "C", "D"]
    assert len({mark.get_linestyle() for mark in marks}) == 4
    words = "$ step 60\n" + "ab" * 22 + "\n" + "ab" * 18 + "\n\nend"
    assert axes[3].texts[0].get_text() == words

    history.main(["x", f"--workdir={run}"])
    assert capsys.readouterr().out == f"{run / 'history.png'}\n"
    assert (run / "history.png").stat().st_size > 10_000
    written = (run / "history.txt").read_text()
    assert written.count("--- sample, step") == 6
    assert "--- sample, step 40 of 100 ---\n$ step 40\nabab" in written


def test_a_run_without_a_history_is_refused_in_one_line(run, capsys):
    (run / "metrics.jsonl").unlink()  # as before the first logged metrics
    loaded = load_runs(run)[0]
    assert history.draw(loaded, {0: "x"}).axes[0].get_ylabel() == "loss in nats per symbol"
    for path in (run / "figures").iterdir():
        path.unlink()
    for words, message in (
        ([f"--workdir={run}"], "has no samples of text"),
        ([f"--workdir={run / 'figures'}"], "there is no run in"),
        ([f"--workdir={run}", "more"], "flags begin with --"),
        ([], "workdir"),
    ):
        with pytest.raises(SystemExit, match="2"):
            history.main(["x", *words])
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert message in err
