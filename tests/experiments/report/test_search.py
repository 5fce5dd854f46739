"""The picture of a search shows its numbers."""

import json

import numpy as np
import pytest

from experiments.report.search import draw_search, picture

RECORD = {
    "objective": "validation/loss",
    "direction": "minimize",
    "space": ["x=0..9"],
    "trials": [
        {"number": 0, "state": "complete", "value": 3.0},
        {"number": 1, "state": "failed", "value": None},
        {"number": 2, "state": "complete", "value": 5.0},
        {"number": 3, "state": "pruned", "value": 99.0},
        {"number": 4, "state": "complete", "value": 2.0},
        {"number": 5, "state": "open", "value": None},
    ],
}


@pytest.mark.parametrize(
    ("direction", "best"), [("minimize", [3.0, 3.0, 2.0]), ("maximize", [3.0, 5.0, 5.0])]
)
def test_every_trial_with_a_value_is_shown_and_the_best_so_far(direction, best):
    (axis,) = picture({**RECORD, "direction": direction}).axes
    lines = {line.get_label(): np.transpose(line.get_data()).tolist() for line in axis.lines}
    assert lines == {
        "complete": [[0, 3.0], [2, 5.0], [4, 2.0]],
        "pruned": [[3, 99.0]],
        "best so far": [list(pair) for pair in zip([0, 2, 4], best, strict=True)],
    }
    assert axis.get_ylabel() == "validation/loss"
    assert axis.get_yscale() == "log"  # because of the trial with 99


def test_only_a_search_has_a_picture(tmp_path):
    assert draw_search(tmp_path, tmp_path) == []
    empty = {**RECORD, "trials": RECORD["trials"][1:2]}  # nothing has a value yet
    (tmp_path / "search.json").write_text(json.dumps(empty))
    (path,) = draw_search(tmp_path, tmp_path)
    assert path.read_bytes()[:4] == b"\x89PNG"
