"""ARPA files by hand, written and read back, and malformed ones."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.text.arpa import read_arpa, write_arpa

# as lmplz of KenLM writes it
LMPLZ = """\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-0.9\t<unk>\t0
0\t<s>\t-0.30103
-0.5\t</s>\t0
-0.4\ta\u00a0b\t-0.25

\\2-grams:
-0.1\t<s> a\u00a0b
-0.2\ta\u00a0b </s>
-0.3\t<s> </s>

\\end\\
"""


def test_a_file_by_hand(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(LMPLZ, encoding="utf-8")
    arpa = read_arpa(path)
    assert arpa.words == ("<unk>", "</s>", "a\u00a0b")
    assert arpa.end == 1
    (words, p, b), (pairs, p2, b2) = arpa.levels
    assert words.tolist() == [[0], [1], [2]]
    assert pairs.tolist() == [[1, 2], [2, 1], [1, 1]]
    np.testing.assert_allclose(p / np.log(10), [-0.9, -0.5, -0.4])
    np.testing.assert_allclose(np.exp(b), [1, 0.5, 10**-0.25], rtol=1e-6)
    np.testing.assert_allclose(p2 / np.log(10), [-0.1, -0.2, -0.3])
    assert not b2.any()
    again = tmp_path / "again.arpa"
    write_arpa(again, arpa.words, arpa.levels, arpa.end)
    lines = again.read_text(encoding="utf-8").split("\n")
    assert lines[:3] == ["\\data\\", "ngram 1=4", "ngram 2=3"]
    assert {"-99\t<s>\t-0.30103", "-0.5\t</s>", "-0.1\t<s> a\u00a0b", "-0.3\t<s> </s>"} <= set(
        lines
    )
    second = read_arpa(again)
    assert (second.words, second.end) == (arpa.words, arpa.end)
    for level, other in zip(arpa.levels, second.levels, strict=True):
        for ours, read in zip(level, other, strict=True):
            np.testing.assert_allclose(read, ours, atol=1e-7)


def test_words_without_sentences_are_written_as_they_are(tmp_path):
    path = tmp_path / "lm.arpa"
    level = np.array([[1], [0]]), np.log([0.25, 0.75]), np.zeros(2)
    write_arpa(path, ["a", "<eos>"], [level])
    arpa = read_arpa(path)
    assert (arpa.words, arpa.end) == (("<eos>", "a"), None)
    path.write_text(path.read_text().replace("\t", " "))  # some programs write spaces
    np.testing.assert_allclose(read_arpa(path).levels[0][1], level[1], atol=1e-7)
    for word in ("a b", "", "a\nb"):
        with pytest.raises(DataError, match="cannot be written into an ARPA file"):
            write_arpa(path, ["a", word], [level])
    with pytest.raises(DataError, match="the word '<s>' cannot"):
        write_arpa(path, ["<eos>", "<s>"], [level], end=0)
    with pytest.raises(DataError, match=r"cannot write .*: Is a directory"):
        write_arpa(tmp_path, ["a", "b"], [level])


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("ngram 1=4", "ngram 1=5", r"announces \[5, 3\] n-grams by order and has \[4, 3\]"),
        ("\\end\\", "", "is not a complete ARPA file"),
        ("\\data\\\n", "", "announces"),
        ("-0.9\t", "x\t", "line 6 of .* is not log10 p, 1 words and a weight"),
        ("<s> </s>", "<s> a </s>", "line 14 of .* is not log10 p, 2 words and a weight"),
        ("\\2-grams:", "\\3-grams:", "line 11 of .* is .3-grams:, not the next order"),
        ("<s> </s>", "<s> new", "has the word 'new' only in '<s> new'"),
        ("<s> </s>", "</s> <s>", "'</s> <s>' in .* is in no sentence"),
        ("<unk>", "a\u00a0b", "has a word twice"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, old, new, part):
    path = tmp_path / "lm.arpa"
    path.write_text(LMPLZ.replace(old, new), encoding="utf-8")
    if old == "\\data\\\n":
        path.write_text(LMPLZ.partition("\\1-")[0])
    with pytest.raises(DataError, match=part) as caught:
        read_arpa(path)
    assert "\n" not in str(caught.value)
