"""Random restarts: the best of k runs, and which runs are compared."""

import itertools
import json

import numpy as np

from experiments.feedforward.restarts import expected_of_best, sibling_runs


def test_expected_value_of_the_best_equals_an_enumeration_of_all_draws():
    losses, values = [0.3, 0.1, 0.9, 0.5, 0.2], [7.0, 1.0, 4.0, 2.0, 5.0]
    found = expected_of_best(losses, values)
    for k in range(1, 6):
        draws = itertools.combinations(range(5), k)
        best = [values[min(draw, key=lambda i: losses[i])] for draw in draws]
        np.testing.assert_allclose(found[k - 1], np.mean(best), rtol=1e-12)


def test_only_finished_runs_of_the_same_settings_are_compared(tmp_path):
    runs = {"seed=0": {"seed": 0}, "seed=1": {"seed": 1}, "wide": {"seed": 2, "hidden": 9}}
    for name, settings in runs.items():
        (tmp_path / name).mkdir()
        config = {"hidden": 4, **settings}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "result.json").write_text(json.dumps({"metrics": settings}))
    (tmp_path / "seed=3").mkdir()
    (tmp_path / "seed=3" / "config.json").write_text(json.dumps({"hidden": 4, "seed": 3}))
    assert set(sibling_runs(tmp_path / "seed=1")) == {"seed=0", "seed=1"}
    assert set(sibling_runs(tmp_path / "wide")) == {"wide"}
