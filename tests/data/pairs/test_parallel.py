"""Parallel text is read line by line, split without overlap, or refused in one line."""

import gzip
import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.pairs.parallel import Pairs, divide, load_pairs
from data.text.line_files import read_lines

quick = settings(deadline=None, derandomize=True, max_examples=25)
sentences = st.text("abc", max_size=2)


def write(path, lines, end="\n"):
    content = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def numbered(language, count):
    return [f"{language} {i}" for i in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Three languages, some files gzipped, with something else beside them."""
    path = tmp_path / "corpus"
    path.mkdir()
    for language, ending in (("de", ".gz"), ("en", ""), ("fr", "")):
        write(path / f"train.{language}{ending}", numbered(language, 5))
        write(path / f"val.{language}", numbered(f"v{language}", 2))
        write(path / f"test_2016_flickr.{language}{ending}", numbered(f"t{language}", 3))
    write(path / "README", ["some captions"])
    return path


def refused(*arguments):
    with pytest.raises(DataError) as caught:
        load_pairs(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("source", "target"), [("de", "en"), ("en", "de"), ("fr", "en")])
def test_a_folder_gives_the_three_splits_of_two_languages(folder, source, target):
    pairs = load_pairs(f"pairs:{folder}", source, target)
    assert pairs.train == [(f"{source} {i}", f"{target} {i}") for i in range(5)]
    assert pairs.validation == [(f"v{source} {i}", f"v{target} {i}") for i in range(2)]
    assert pairs.test == [(f"t{source} {i}", f"t{target} {i}") for i in range(3)]
    assert pairs.left_out == 0


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_validation_may_have_several_names(folder, name):
    for language in ("de", "en", "fr"):
        (folder / f"val.{language}").rename(folder / f"{name}.{language}")
    assert len(load_pairs(f"pairs:{folder}", "de", "en").validation) == 2


def test_a_test_set_is_chosen_among_several(folder):
    for language in ("de", "en"):
        write(folder / f"test_2017.{language}", [language])
    message = refused(f"pairs:{folder}", "de", "en")
    assert message.endswith("has several test sets, choose one: test_2016_flickr, test_2017")
    assert load_pairs(f"pairs:{folder}", "de", "en", "test_2017").test == [("de", "en")]
    message = refused(f"pairs:{folder}", "de", "en", "test_2071")
    assert "no test set 'test_2071' (did you mean test_2017?)" in message


def test_an_unknown_language_is_refused_with_the_nearest_and_all(folder):
    message = refused(f"pairs:{folder}", "de", "dr")
    assert "no target language 'dr' (did you mean fr?); available: de, en, fr" in message
    message = refused(f"pairs:{folder}", "", "en")
    assert "no source language ''; available: de, en, fr" in message


def test_a_folder_without_a_split_is_refused(folder):
    (folder / "val.en").unlink()
    message = refused(f"pairs:{folder}", "de", "en")
    assert "there is no file" in message
    assert "val.en (did you mean val." in message
    for path in folder.glob("test*"):
        path.unlink()
    write(folder / "val.en", ["a", "b"])
    assert refused(f"pairs:{folder}", "de", "en").endswith("test.de")
    for path in folder.glob("train*"):
        path.rename(path.with_name(path.name.replace("train", "trains")))
    message = refused(f"pairs:{folder}", "de", "en")
    assert message.endswith("has no file train.LANGUAGE (did you mean trains?)")


@pytest.mark.parametrize(("part", "word"), [("val", "validation"), ("test", "test")])
def test_an_empty_held_out_set_is_refused(folder, part, word):
    for path in folder.glob(f"{part}*"):
        path.unlink()
    for language in ("de", "en"):
        write(folder / f"{part}.{language}", [])
    assert f"there are no {word} pairs in" in refused(f"pairs:{folder}", "de", "en")


def test_what_is_not_there_is_refused_with_the_nearest_name(folder, tmp_path):
    message = refused(f"pairs:{tmp_path / 'corpse'}", "de", "en")
    assert message.endswith("corpse (did you mean corpus?)")
    message = refused(f"files:{folder / 'train.de.gz'},{folder / 'trian.en'}")
    assert message.endswith("trian.en (did you mean train.en?)")
    assert refused(f"tsv:{tmp_path / 'no' / 'where'}").endswith("where")
    assert "needs tsv files with train, validation and test" in refused(f"tsv:{tmp_path}")


@pytest.mark.parametrize("name", ["", "pairs", "pairs:", "tsv:", "files:", "xml:x"])
def test_an_unknown_form_is_refused_with_those_there_are(name):
    message = refused(name)
    assert message.startswith(f"there is no dataset {name!r}")
    assert message.endswith(
        "; available: dates, pairs:FOLDER, files:SOURCE,TARGET, csv:PATH, tsv:PATH, jsonl:PATH, "
        "parquet:PATH, arrow:PATH"
    )


def test_files_needs_two_paths():
    assert "needs two paths separated by a comma, got 'one'" in refused("files:one")


@pytest.mark.parametrize(("more", "fewer"), [("de", "en"), ("en", "de")])
def test_a_line_without_a_counterpart_is_refused_with_its_number(folder, more, fewer):
    write(folder / f"val.{more}", ["a", "b", "c", "d"])
    message = refused(f"pairs:{folder}", "de", "en")
    assert {f"val.{more} has 4", f"val.{fewer} has 2"} == set(
        re.findall(r"val\.\w\w has \d", message)
    )
    assert message.endswith(f"val.{more} has no counterpart from line 3 on")


@pytest.mark.parametrize("compressed", [False, True])
def test_another_encoding_is_refused_with_file_and_line(tmp_path, compressed):
    content = b"ein\nzwei\n" + "für\nfünf\n".encode("latin-1")
    path = tmp_path / "numbers"
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert f"{path} is not UTF-8 text: line 3 cannot be decoded" in refused(f"tsv:{path}")


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:10] + b"\xff" * 30])
def test_a_damaged_archive_is_refused(tmp_path, damage):
    path = tmp_path / "some.gz"
    path.write_bytes(damage(gzip.compress(b"a\tb\n" * 99)))
    assert f"cannot read {path}: " in refused(f"tsv:{path}")


def test_a_line_of_a_table_must_have_one_tab(tmp_path):
    path = tmp_path / "table.tsv"
    write(path, ["a\tb", "c\td\te", "f"])
    needed = "not one between source and target"
    assert refused(f"tsv:{path}") == f"line 2 of {path} has 2 tabs, {needed}"
    write(path, ["a\tb", ""])
    assert refused(f"tsv:{path}") == f"line 2 of {path} has 0 tabs, {needed}"


def test_lines_end_at_line_feeds_alone(tmp_path):
    path = tmp_path / "lines"
    content = "\ufeffone\u2028still\x85one\x0b\r\n\r\nthree\rthree\nlast"
    path.write_bytes(content.encode())
    expected = ["one\u2028still\x85one\x0b", "", "three\rthree", "last"]
    assert read_lines(path) == expected
    path.write_bytes((content + "\n").encode())
    assert read_lines(path) == expected
    path.write_bytes((content + "\n\n").encode())
    assert read_lines(path) == [*expected, ""]
    path.write_bytes(b"")
    assert read_lines(path) == []


def test_an_empty_side_is_left_out_of_training_alone(folder):
    for split, count in (("train", 5), ("val", 2), ("test_2016_flickr", 3)):
        for language in ("en", "fr"):
            write(folder / f"{split}.{language}", numbered(language, count))
        write(folder / f"{split}.en", ["  ", *numbered("en", count)[1:]])
    write(folder / "train.fr", ["x", "y", "", " z ", "w"])
    pairs = load_pairs(f"pairs:{folder}", "en", "fr")
    assert pairs.left_out == 2
    assert pairs.train == [("en 1", "y"), ("en 3", "z"), ("en 4", "w")]
    assert pairs.validation == [("", "fr 0"), ("en 1", "fr 1")]
    assert pairs.test[0] == ("", "fr 0")
    assert len(pairs.test) == 3
    write(folder / "train.fr", [""] * 5)
    assert "there are no complete training pairs in" in refused(f"pairs:{folder}", "en", "fr")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_table_and_two_files_are_the_same_pairs(tmp_path, ending):
    lines = numbered("a", 60), numbered("b", 60)
    paths = [tmp_path / f"{name}{ending}" for name in ("x", "y")]
    for path, part in zip(paths, lines, strict=True):
        write(path, part, end="\r\n")
    table = tmp_path / f"both.tsv{ending}"
    write(table, ["\t".join(pair) for pair in zip(*lines, strict=True)])
    pairs = load_pairs(f"tsv:{table}")
    assert pairs == load_pairs(f"files:{paths[0]},{paths[1]}")
    assert [len(x) for x in (pairs.train, pairs.validation, pairs.test)] == [54, 3, 3]
    every = sorted([*pairs.train, *pairs.validation, *pairs.test])
    assert every == sorted(zip(*lines, strict=True))


@quick
@given(st.lists(st.tuples(sentences, sentences), min_size=3))
def test_no_source_sentence_is_in_two_splits_and_order_is_kept(pairs):
    count = len({x for x, _ in pairs})
    if count < 3:
        with pytest.raises(DataError, match=f"{count} source sentences cannot be divided"):
            divide(pairs)
        return
    splits = divide(pairs)
    sources = [{x for x, _ in split} for split in splits]
    assert sum(map(len, sources)) == count
    assert len(sources[1]) == len(sources[2]) == -(-count // 20)
    for split, inside in zip(splits, sources, strict=True):
        assert split == [pair for pair in pairs if pair[0] in inside]
    ranked = sorted(set().union(*sources), key=lambda x: hashlib.sha256(x.encode()).hexdigest())
    assert sources[2] == set(ranked[: len(sources[2])])
    again = divide(pairs[::-1])
    assert [{x for x, _ in split} for split in again] == sources


def test_the_digest_tells_pairs_sides_and_splits_apart():
    pairs = Pairs([("a", "b")], [("c", "d")], [("é", "f")], 0)
    assert pairs.sha256 == hashlib.sha256("a\tb\n\nc\td\n\né\tf\n\n".encode()).hexdigest()
    others = [
        Pairs([("b", "a")], [("c", "d")], [("é", "f")], 0),
        Pairs([("a", "b"), ("c", "d")], [], [("é", "f")], 0),
        Pairs([("a", "b")], [("c", "d")], [("e", "f")], 0),
    ]
    assert len({pairs.sha256, *(other.sha256 for other in others)}) == 4


@pytest.mark.parametrize("names", ["en,de", "source,target"])
def test_columns_of_a_table_are_the_languages_or_source_and_target(tmp_path, names):
    lines = [f"a {i},b {i},x" for i in range(60)]
    path = tmp_path / "ü b.csv"
    write(path, [f"{names},other", *lines])
    table = tmp_path / "two.tsv"
    write(table, [line.replace(",", "\t")[:-2] for line in lines])
    pairs = load_pairs(f"csv:{path}", "en", "de")
    assert pairs == load_pairs(f"tsv:{table}", "en", "de")
    write(table, [line.replace(",", "\t") for line in (f"{names},other", *lines)])
    assert pairs == load_pairs(f"tsv:{table}", "en", "de")
    write(path, ["fr,de", *("a,b" for _ in lines)])
    message = refused(f"csv:{path}", "en", "de")
    assert message.endswith(
        "are fr, de; needs en and de (config.source and config.target), or source and target"
    )


def test_the_files_of_a_table_are_the_splits(tmp_path):
    for split in ("train", "test"):
        write(
            tmp_path / f"{split}.jsonl",
            [f'{{"en": "{split} {i}", "de": " x {i} "}}' for i in range(40)],
        )
    pairs = load_pairs(f"jsonl:{tmp_path}", "en", "de")
    assert pairs.test == [(f"test {i}", f"x {i}") for i in range(40)]
    assert len(pairs.train) + len(pairs.validation) == 40
    swapped = load_pairs(f"jsonl:{tmp_path}", "de", "en")
    assert swapped.test[0] == ("x 0", "test 0")
    assert swapped.sha256 != pairs.sha256


def test_paths_with_commas_are_told_apart_by_the_files_that_exist(tmp_path):
    a, b = tmp_path / "a, b", tmp_path / "c,d"
    write(a, numbered("a", 60))
    write(b, numbered("b", 60))
    assert len(load_pairs(f"files:{a},{b}").train) == 54
    message = refused(f"files:{a},{tmp_path / 'none'}")
    assert "has 2 commas and 0 ways to be two files; rename them, or use pairs:FOLDER" in message
