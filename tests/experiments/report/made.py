"""Files of runs, for the tests of the report."""

import json


def make_run(
    folder, name, seed, value=None, step=20, *, experiment="", headline="test/loss", **settings
):
    """Write those files of a run that a report reads; return its folder."""
    path = folder / name
    (path / "figures").mkdir(parents=True)
    config = {"seed": seed, "steps": 20, "data_dir": f"/somewhere/{name}", **settings}
    (path / "config.json").write_text(json.dumps(config))
    (path / "data.json").write_text('{"dataset": "d"}')
    environment = {"machine": "m", "devices": ["cpu"], "python": "3", "versions": {}, "commit": "c"}
    environment["experiment"] = experiment and f"experiments.{experiment}"
    (path / "environment.json").write_text(json.dumps(environment))
    lines = [{"step": s, "val/loss": 2.0 - s / 20} for s in range(0, step + 1, 10)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "cut'
    (path / "metrics.jsonl").write_text(text)
    (path / "figures" / "sample-0000010.txt").write_text(f"text of {name}\n")
    if value is not None:
        result = {
            "headline": headline,
            "curve": "val/loss",
            "objective": "val/loss",
            "metrics": {headline: value, "val/loss": 5 - value},
            "best_step": 10 * seed,
            "seconds": 10.0,
        }
        (path / "result.json").write_text(json.dumps(result))
    return path
