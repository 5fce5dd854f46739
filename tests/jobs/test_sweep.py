"""The grammar of sweeps and the names of runs, against sets written by hand."""

import pytest

from jobs.run import make_runs
from jobs.sweep import UsageError, expand, parse_axis, read_sets, run_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cell=rnn,gru,lstm", ("cell", ["rnn", "gru", "lstm"])),
        ("seed=0..3", ("seed", ["0", "1", "2", "3"])),
        ("seed=-1..0", ("seed", ["-1", "0"])),
        ("widths=[(3,4),(5,6)]", ("widths", ["(3, 4)", "(5, 6)"])),
        ("rate=1e-3", ("rate", ["1e-3"])),
        ("dataset=text:/a/b.txt", ("dataset", ["text:/a/b.txt"])),
    ],
)
def test_axis_grammar(text, expected):
    assert parse_axis(text) == expected


@pytest.mark.parametrize(
    "text", ["cell", "cell=", "=a", "a b=c", "seed=3..1", "w=[1,", "w=[f()]", "w=[]", "w=[{[]:1}]"]
)
def test_bad_axes_are_refused(text):
    with pytest.raises(UsageError, match="--sweep="):
        parse_axis(text)


def test_lines_times_pairs_times_axes(tmp_path):
    file = tmp_path / "sets"
    file.write_text("cell=gru\ncell=rnn hidden=5\n")
    found = expand(["seed=0..1"], ["rate=1,2", "layers=3,4"], file)
    assert found == [
        ("cell=gru", "rate=1", "layers=3", "seed=0"),
        ("cell=gru", "rate=1", "layers=3", "seed=1"),
        ("cell=gru", "rate=2", "layers=4", "seed=0"),
        ("cell=gru", "rate=2", "layers=4", "seed=1"),
        ("cell=rnn", "hidden=5", "rate=1", "layers=3", "seed=0"),
        ("cell=rnn", "hidden=5", "rate=1", "layers=3", "seed=1"),
        ("cell=rnn", "hidden=5", "rate=2", "layers=4", "seed=0"),
        ("cell=rnn", "hidden=5", "rate=2", "layers=4", "seed=1"),
    ]
    assert expand([]) == [()]
    assert expand([], ["a=1,2"]) == [("a=1",), ("a=2",)]


def test_axes_of_unequal_length_or_with_a_repeated_setting_are_refused(tmp_path):
    with pytest.raises(UsageError, match="rate has 2, layers has 3"):
        expand([], ["rate=1,2", "layers=1..3"])
    with pytest.raises(UsageError, match="--zip=rate must be"):
        expand([], ["rate"])
    file = tmp_path / "sets"
    file.write_text("a=1\nseed=4\n")
    for sweep, zipped, path in (
        (["seed=1", "seed=2"], [], None),
        (["seed=1"], ["seed=2"], None),
        (["seed=1"], [], file),
    ):
        with pytest.raises(UsageError, match="have the same setting, seed"):
            expand(sweep, zipped, path)


def test_file_is_read_as_a_shell_reads_words(tmp_path):
    file = tmp_path / "sets"
    file.write_text(
        "# it's a comment\n\n"
        "prompt='a b' cell=gru   # don't\n"
        'prompt="it\'s" dataset=text:a#b\n'
        "  widths='(3,4)' prompt=\\'\n"
        "prompt= widths='(3,'\n"
    )
    assert read_sets(file) == [
        ("prompt=a b", "cell=gru"),
        ("prompt=it's", "dataset=text:a#b"),
        ("widths=(3, 4)", "prompt='"),
        ("prompt=", "widths=(3,"),
    ]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("cell", "'cell' must be NAME=VALUE"),
        ("--cell=gru", "must be NAME=VALUE"),
        ("prompt='a", "No closing quotation"),
        ("seed=1 seed=2", "seed is given twice"),
        ("a=1  b=2", "same settings as line 2"),
    ],
)
def test_bad_line_of_a_file_is_reported_with_its_number(tmp_path, line, part):
    file = tmp_path / "sets"
    file.write_text(f"# settings\na=1 b=2\n{line}\n")
    with pytest.raises(UsageError) as caught:
        read_sets(file)
    assert str(caught.value).startswith(f"{file}:3: ")
    assert part in str(caught.value)


@pytest.mark.parametrize("content", [None, b"# nothing\n", b"\xff=1\n"])
def test_file_without_settings_is_refused(tmp_path, content):
    file = tmp_path / "sets"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="--sweep_file="):
        expand([], [], file)


def test_a_file_and_axes_give_a_run_the_same_name(tmp_path):
    file = tmp_path / "sets"
    file.write_text("cell=rnn widths=(3,4) rate=1e-3\ncell=rnn widths='(5, 6)' rate=1e-3\n")
    by_file = run_names(expand([], [], file))
    assert by_file == run_names(expand(["cell=rnn", "widths=[(3,4),(5,6)]", "rate=1e-3"]))
    assert by_file[0] == "cell=rnn,widths=_3,_4_,rate=1e-3"
    assert run_names([()]) == ["run"]


def test_names_that_cannot_be_folders_are_refused():
    assert run_names([("dataset=text:/a b",)]) == ["dataset=text_a_b"]
    with pytest.raises(UsageError, match="same folder: p=a_b"):
        run_names([("p=a b",), ("p=a/b",)])
    with pytest.raises(UsageError, match="too long"):
        run_names([("p=" + 99 * "語",)])  # 299 bytes


def test_runs_have_the_shared_flags_before_their_own(tmp_path):
    sets = expand(["cell=rnn,gru", "seed=0..2"])
    runs = make_runs("char_lm", tmp_path, ["--config.steps=9"], sets)
    assert [run.name for run in runs][:2] == ["cell=rnn,seed=0", "cell=rnn,seed=1"]
    assert [run.workdir for run in runs] == [tmp_path / run.name for run in runs]
    assert len({run.workdir for run in runs}) == 6
    assert runs[-1].command[1:] == (
        "-m",
        "experiments.char_lm",
        f"--workdir={tmp_path / 'cell=gru,seed=2'}",
        "--config.steps=9",
        "--config.cell=gru",
        "--config.seed=2",
    )
