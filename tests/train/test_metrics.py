"""The lines of metrics that a run prints."""

import pytest

from train.metrics import printed_line

WIDTH, INDENT = 100, 13

TRAIN = {"accuracy": 0.62178, "grad_norm": 0.0, "loss": 1.34, "learning_rate": 0.000786}


def test_a_line_of_training_fits_in_the_width():
    line = printed_line(12700, "train", TRAIN, "(12345 s, 12,376 rows/s)")
    assert line == (
        "step  12700  train  accuracy 0.622  grad_norm 0.00  loss 1.34  lr 0.000786"
        "  (12345 s, 12,376 rows/s)"
    )
    assert len(line) <= WIDTH


@pytest.mark.parametrize(
    ("value", "in_training", "in_evaluation"),
    [
        (0, "0.00", "0.0000"),
        (1, "1.00", "1.0000"),
        (-0.98765, "-0.988", "-0.9877"),
        (3.0123e-5, "3.01e-05", "3.01e-05"),
        (12.345, "12.3", "12.3450"),
        (100, "100", "100.0000"),
        (123456.7, "1.23e+05", "123456.7000"),
        (1.5e12, "1.50e+12", "1500000000000.0000"),
    ],
)
def test_training_has_fewer_digits_than_evaluation(value, in_training, in_evaluation):
    assert printed_line(1, "train", {"x": value}, "(1 s)").split()[4] == in_training
    assert printed_line(1, "test", {"x": value}).split()[4] == in_evaluation


def test_what_does_not_fit_continues_on_an_indented_line():
    values = {f"metric_{i}": float(i) for i in range(8)} | {"metric en-de": 8.0, "each/class": 1.0}
    first, *others = printed_line(500, "validation", values).split("\n")
    assert first.startswith("step    500  validation  metric_0 0.0000  metric_1 1.0000")
    assert others
    assert all(line[:INDENT].isspace() and not line[INDENT].isspace() for line in others)
    assert max(map(len, [first, *others])) <= WIDTH
    shown = " ".join([first, *others])
    assert [f"metric_{i} {i}.0000" in shown for i in range(8)] == [True] * 8
    assert "metric en-de 8.0000" in shown
    assert "each" not in shown


def test_a_word_wider_than_a_line_is_kept():
    name = "x" * WIDTH
    assert printed_line(0, "test", {name: 1.0}).split("\n")[1].strip() == f"{name} 1.0000"
