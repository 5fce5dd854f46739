"""The files of modes: below the run, replaced with a notice; a named file is never overwritten."""

from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from data.catalogue import DataError
from experiments.common.output import picture_of, save_to
from train.config import ConfigError


def run_of(folder, picture=""):
    return SimpleNamespace(workdir=folder, config=SimpleNamespace(picture=picture))


def test_the_default_picture_is_in_the_run_and_is_replaced_with_a_notice(tmp_path):
    output = picture_of(run_of(tmp_path), "inside")
    assert save_to(output, Figure()) == str(tmp_path / "inside.png")
    content = (tmp_path / "inside.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    larger = Figure(figsize=(9, 9))
    said = save_to(picture_of(run_of(tmp_path), "inside"), larger)
    assert said == f"{tmp_path / 'inside.png'} (replaced)"
    assert (tmp_path / "inside.png").read_bytes() != content
    assert [path.name for path in tmp_path.iterdir()] == ["inside.png"]


def test_a_picture_that_the_user_names_is_never_overwritten(tmp_path):
    named = tmp_path / "own.png"
    run = run_of(tmp_path / "run", str(named))
    first, second = picture_of(run, "inside"), picture_of(run, "inside")
    assert save_to(first, Figure()) == str(named)
    content = named.read_bytes()
    with pytest.raises(ConfigError, match=r"own\.png exists: remove it, or name another file"):
        picture_of(run, "inside")
    with pytest.raises(DataError, match=r"cannot write picture .*File exists"):
        save_to(second, Figure(figsize=(9, 9)))  # somebody else wrote it in the meantime
    assert named.read_bytes() == content


def test_neither_kind_of_file_is_written_through_a_link(tmp_path):
    other = tmp_path / "other.png"
    other.write_text("precious")
    (tmp_path / "inside.png").symlink_to(other)
    save_to(picture_of(run_of(tmp_path), "inside"), Figure())
    assert other.read_text() == "precious"
    assert not (tmp_path / "inside.png").is_symlink()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    with pytest.raises(ConfigError, match="exists"):
        picture_of(run_of(tmp_path, str(tmp_path / "dangling.png")), "inside")


def test_several_pictures_of_a_mode_have_one_rule(tmp_path):
    assert picture_of(run_of(tmp_path), "segment", "_2").path == tmp_path / "segment_2.png"
    run = run_of(tmp_path, str(tmp_path / "a.b.pdf"))
    output = picture_of(run, "segment", "_2")
    assert output.path == tmp_path / "a.b_2.pdf"
    assert output.beside("a.json").write(b"1") == str(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"a\.json exists"):
        output.beside("a.json")


@pytest.mark.parametrize("name", ["none/units.png", "units.none"])
def test_a_picture_that_cannot_be_written_is_refused(name, tmp_path):
    output = picture_of(run_of(tmp_path, str(tmp_path / name)), "units")
    with pytest.raises(DataError, match=r"cannot write picture .*units"):
        save_to(output, Figure())
