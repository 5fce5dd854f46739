"""Figures of a run: one that fails, and the order of saving and drawing."""

from train.checkpoint import Checkpoints
from train.loop import fit


def test_a_figure_that_fails_is_a_warning_after_the_run_is_saved(
    tmp_path, regression, small_config, monkeypatch, capsys
):
    config = small_config(steps=2, figures_at=(0.0, 1.0))
    experiment, saved = regression(config), []
    save = Checkpoints.save

    def noted(self, step, *rest):
        saved.append(f"saved {step}")
        save(self, step, *rest)

    class Broken:
        def findobj(self, kind):
            raise ValueError("cannot be drawn\nat all")

    def figures(predict, batches):
        saved.append("drawn")
        if len(saved) == 2:
            raise RuntimeError("no figure")
        return {"broken": Broken(), "kernel": "text"}

    monkeypatch.setattr(Checkpoints, "save", noted)
    experiment.task.figures = figures
    assert fit(experiment, config, tmp_path)["step"] == 2
    assert saved == ["saved 0", "drawn", "saved 2", "drawn"]
    error = capsys.readouterr().err
    assert "warning: the figures of step 0 cannot be drawn: RuntimeError: no figure\n" in error
    expected = (
        "warning: figure broken of step 2 cannot be drawn: ValueError: cannot be drawn at all\n"
    )
    assert expected in error
    (drawn,) = (tmp_path / "figures").iterdir()
    assert drawn.name == "kernel-0000002.txt"
    drawn.unlink()  # as if it had been killed while it drew
    (tmp_path / "result.json").unlink()
    before = (tmp_path / "metrics.jsonl").read_bytes()
    fit(experiment, config, tmp_path)
    assert drawn.read_text() == "text"
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert saved[4:] == ["drawn"]
