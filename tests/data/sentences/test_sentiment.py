"""Labelled sentences: trees by hand, disjoint folds, file formats, batches."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.sentences.sentiment import LabelledSentence, load_sentiment, parse_tree
from data.sentences.sentiment_batches import LabelledIds
from data.text.words import WordVocabulary

TREE = r"(3 (2 It) (4 (4 (3 so) (3 good)) (2 (2 -LRB-) (2 and\/or))))"


def test_a_tree_by_hand():
    found = [(" ".join(words), label) for words, label in parse_tree(TREE)]
    assert found == [
        ("it", 2),
        ("so", 3),
        ("good", 3),
        ("so good", 4),
        ("(", 2),
        ("and/or", 2),
        ("( and/or", 2),
        ("so good ( and/or", 4),
        ("it so good ( and/or", 3),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(3 (2 a) (4 b)", "a bracket is not closed"),
        ("(3 (2 a)) (4 b)", r"'\(' is outside the brackets"),
        ("(3 (2 a)))", r"'\)' is outside the brackets"),
        ("a (3 b)", "'a' is outside the brackets"),
        ("(5 a)", "the label '5' is not one of 0 to 4"),
        ("((2 a))", r"the label '\(' is not one of 0 to 4"),
        ("(", "the label '' is not one of 0 to 4"),
        ("(3 )", "a node has no words"),
        ("", "there is no tree"),
    ],
)
def test_invalid_trees_are_refused_with_file_and_line(tmp_path, line, message):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text("(1 good)\n" + (line + "\n") * (split == "dev"))
    with pytest.raises(DataError, match=rf"line 2 of .*dev.txt: .*{message}") as caught:
        load_sentiment(f"trees:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_trees_give_their_roots_and_on_demand_all_phrases(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text(f"{TREE}\n(0 bad)\n")
    whole = load_sentiment(f"trees:{tmp_path}")
    words = ["it", "so", "good", "(", "and/or"]
    assert whole.train == whole.test == [LabelledSentence(words, 3), LabelledSentence(["bad"], 0)]
    phrases = load_sentiment(f"trees:{tmp_path}", phrases=True)
    assert len(phrases.train) == 10
    assert phrases.validation == whole.validation
    assert phrases.sha256 != whole.sha256


@pytest.fixture
def lines(tmp_path):
    """Two classes of 60 numbered sentences, with bytes that are Windows-1252 and no line ends."""
    for label in ("neg", "pos"):
        text = "".join(f"A \x85 {label} {i} \x93caf\xe9\x94 \n" for i in range(60))
        (tmp_path / f"rt.{label}").write_bytes(text.encode("latin-1"))
    (tmp_path / "other.zip").write_bytes(b"\x00")
    return tmp_path


def test_ten_folds_are_tested_once_each_and_share_nothing(lines):
    tested = []
    for fold in range(10):
        corpus = load_sentiment(f"lines:{lines}", fold=fold)
        parts = [[" ".join(words) for words, _ in part] for part in (corpus.train, corpus.test)]
        assert not set(parts[0]) & set(parts[1])
        assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (98, 10, 12)
        tested += corpus.test
    assert sorted(tested) == sorted(corpus.train + corpus.validation + corpus.test)
    assert corpus.classes == ("neg", "pos")
    assert tested[0].words[:2] == ["a", "…"]
    assert tested[0].words[4] == "“café”"
    assert {words[2]: label for words, label in tested} == {"neg": 0, "pos": 1}
    other = load_sentiment(f"lines:{lines}", fold=9, seed=1)
    assert other.test == corpus.test
    assert other.validation != corpus.validation


def test_classes_may_be_text_files_of_their_own_names(lines):
    for path in list(lines.iterdir()):
        path.rename(lines / f"{path.suffix[1:]}.txt")
    (lines / "zip.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert load_sentiment(f"lines:{lines}").classes == ("neg", "pos", "zip")


def test_missing_or_incomplete_corpora_are_refused_in_one_line(lines, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "short").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "short" / name).write_text("one\n")
    for name, message in (
        (
            "package",
            r"no dataset 'package' \(did you mean packages\?\); available: packages, lines:FOLDER",
        ),
        ("lines:", "there is no dataset 'lines:'; available"),
        (f"lines:{tmp_path}/none", "lines: needs a folder, but"),
        (f"lines:{tmp_path}/empty", "needs two or more files .*, found nothing"),
        (f"lines:{tmp_path}/short", "2 sentences are too few for 10 folds"),
        (f"trees:{tmp_path}/short", "needs one file with train in its name"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            load_sentiment(name)
        assert "\n" not in str(caught.value)
    (lines / "rt.pos").write_text("good\n\nbetter\n")
    with pytest.raises(DataError, match=r"line 2 of .*rt.pos has no words"):
        load_sentiment(f"lines:{lines}")


class Docs(list):
    def __getitems__(self, places):
        return [{"path": path.encode(), "text": text.encode()} for path, text in self]


def test_packages_are_large_ones_and_no_file_is_in_two_splits(monkeypatch):
    def files(package, count, size):
        return [
            (f"{package}/m{i}.py", f"See {package}{i} for that.\n\nToo short.\n\n" * size * (i + 1))
            for i in range(count)
        ]

    docs = Docs(files("one", 12, 10) + files("two", 10, 8) + files("few", 9, 99))
    single = Docs([("alone.py", "This is a module alone.\n\n" * 999)])
    monkeypatch.setattr(
        "data.sentences.sentiment.load_splits", lambda *_: {"train": docs, "test": single}
    )
    corpus = load_sentiment("packages", "a folder")
    assert corpus.classes == ("one", "two")
    parts = (corpus.train, corpus.validation, corpus.test)
    firsts = [{(words[1], label) for words, label in part} for part in parts]
    assert [len(a & b) for a, b in zip(firsts, [*firsts[1:], firsts[0]], strict=True)] == [0, 0, 0]
    assert {("one11", 0), ("two9", 1)} <= firsts[0]
    assert sum(map(len, parts)) == 10 * 78 + 8 * 55
    assert all(0.05 < len(part) / sum(map(len, parts)) < 0.2 for part in parts[1:])


def test_a_batch_by_hand():
    vocabulary = WordVocabulary.from_sentences([["a", "b", "a"]], 1, "drop")
    ids = LabelledIds.from_sentences(
        [LabelledSentence(["b", "c", "a"], 1), LabelledSentence(["a"], 3)], vocabulary
    )
    assert ids.widths.tolist() == [[3], [1]]
    batch = ids.batch(np.array([1, 0]), (4,), 3)
    expected = {
        "words": [[2, 0, 0, 0], [3, 1, 2, 0], [0, 0, 0, 0]],
        "lengths": [1, 3, 0],
        "label": [3, 1, 0],
        "mask": [1, 1, 0],
    }
    assert set(batch) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(batch[key], array, err_msg=key)
        assert batch[key].dtype == (np.float32 if key == "mask" else np.int32)


def test_a_table_of_texts_and_labels(tmp_path):
    path = tmp_path / "ü reviews.csv"
    rows = [(f"It's GOOD, no {i}!", "yes") for i in range(40)] + [
        (f"Bad {i}", "no") for i in range(40)
    ]
    path.write_text("id,label,text\n" + "".join(f'7,{label},"{text}"\n' for text, label in rows))
    corpus = load_sentiment(f"csv:{path}")
    assert corpus.classes == ("no", "yes")
    parts = (corpus.train, corpus.validation, corpus.test)
    assert all(parts)
    assert sum(map(len, parts)) == 80
    good = next(words for words, label in corpus.train if label == 1)
    assert good[:4] == ["it", "'s", "good", ","]
    assert good[-1] == "!"
    assert not {" ".join(words) for words, _ in corpus.train} & {
        " ".join(w) for w, _ in corpus.test
    }
    digest = corpus.sha256
    path.write_text(path.read_text().replace("Bad 7", "Bad 77777"))
    assert load_sentiment(f"csv:{path}").sha256 != digest
    path.write_text('label,text\nyes,a\nno,""\n')
    with pytest.raises(DataError, match=r"line 3 of .* has no words"):
        load_sentiment(f"csv:{path}")
    path.write_text("label,review\nyes,a\n")
    with pytest.raises(DataError, match="are label, review; needs text and label"):
        load_sentiment(f"csv:{path}")
