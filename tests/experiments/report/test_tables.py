"""The formats of the table of a sweep."""

import csv
import io

import pytest

from experiments.report.runs import group_runs
from experiments.report.tables import FORMS, make_table


@pytest.fixture
def table(run_of):
    """Three configurations with two seeds; the last one has no finished run."""
    third = 1 / 3
    made = [
        run_of(0, third, mark="a|b_%\nc"),
        run_of(1, third, mark="a|b_%\nc", best_step=5),
        run_of(0, 1.5, mark="[x"),
        run_of(1, 2.5, mark="[x"),
        run_of(0, mark="late"),
    ]
    groups = group_runs(made)
    return make_table(groups, "test/loss", groups[1])


def test_text_is_aligned(table):
    lines = FORMS["text"](table).splitlines()
    assert lines == [
        "mark      test/loss  95 % interval  n  best step  minus mark=[x  its 95 % interval"
        "  pairs     difference  seconds a run",
        "--------  ---------  -------------  -  ---------  -------------  -----------------"
        "  -----  -------------  -------------",
        "a|b_%\\nc     0.3333      +- 0.0000  2      5, 20        -1.6667          +- 6.3531"
        "      2  too few pairs             10",
        "[x           2.0000      +- 6.3531  2         20              -                  -"
        "      -              -             10",
        "late              -              -  0          -              -                  -"
        "      0  too few pairs              -",
    ]


def test_csv_has_every_digit_and_empty_cells(table):
    rows = list(csv.reader(io.StringIO(FORMS["csv"](table))))
    assert rows[0] == table.header
    assert rows[1][:5] == ["a|b_%\nc", repr(1 / 3), "0.0", "2", "5, 20"]
    assert float(rows[1][5]) == pytest.approx(1 / 3 - 2, rel=1e-15)
    assert rows[2][5:] == ["", "", "", "", "10.0"]
    assert rows[3] == ["late", "", "", "0", "", "", "", "0", "too few pairs", ""]


def test_markdown_is_aligned_and_escapes_bars(table):
    lines = FORMS["markdown"](table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith("| mark      | test/loss | 95 % interval |   n | best step |")
    assert lines[1].startswith("| --------- | --------: | ------------: | --: | --------: |")
    assert lines[2].startswith("| a\\|b_%\\nc |    0.3333 |      ± 0.0000 |   2 |     5, 20 |")


def test_latex_is_a_booktabs_tabular_with_escapes(table):
    lines = FORMS["latex"](table).splitlines()
    assert lines[:2] == [r"\begin{tabular}{lrrrrrrrrr}", r"\toprule"]
    assert lines[2] == (
        r"mark & test/loss & 95 \% interval & n & best step & minus mark={[}x"
        r" & its 95 \% interval & pairs & difference & seconds a run \\"
    )
    assert lines[3:] == [
        r"\midrule",
        r"a\textbar{}b\_\%\textbackslash{}nc & 0.3333 & $\pm$ 0.0000 & 2 & 5, 20 & $-$1.6667"
        r" & $\pm$ 6.3531 & 2 & too few pairs & 10 \\",
        r"{[}x & 2.0000 & $\pm$ 6.3531 & 2 & 20 & - & - & - & - & 10 \\",
        r"late & - & - & 0 & - & - & - & 0 & too few pairs & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_escapes_every_special_character(run_of):
    made = [run_of(0, 1.0, mark=mark) for mark in ("&%$#_{}", "~^<>*\\")]
    lines = FORMS["latex"](make_table(group_runs(made), "test/loss", None)).splitlines()
    assert lines[4].startswith(r"\&\%\$\#\_\{\} & 1.0000")
    assert lines[5].startswith(
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}{*}\textbackslash{} & "
    )
