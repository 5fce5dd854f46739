"""Comments and strings of Python, character by character."""

import pytest

from data.sentences import python_tokens
from data.sentences.python_tokens import character_tags, outer_spans, pieces

KINDS = {"O": ".", "B-COMMENT": "C", "I-COMMENT": "c", "B-STRING": "S", "I-STRING": "s"}


def marks(source):
    return "".join(KINDS[tag] for tag in character_tags(source))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = 'x'  # y\n", "....Sss..Ccc."),
        ("# it's 'so'\nb\n", "Ccccccccccc..."),
        ("a('#', \"'\")\n", "..Sss..Sss.."),
        ('r"\\""+b\'\'\n', "Sssss.Sss."),
        ("''''a'\n''' 'b'\n", "Ssssssssss.Sss."),
        ("'a''b'\n", "SssSss."),
        ("é = 'ü€'  # ñ\nx='𝒳'\n", "....Ssss..Ccc...Sss."),
        ("if x:\n  'a\\\nb'\n", "........Ssssss."),
        ("f'{x}' # a\n", "Ssssss.Ccc."),
        ("f'{d[\"k\"]!r:>{w}}' + ''\n", "Ssssssssssssssssss...Ss."),
        ("", ""),
    ],
)
def test_labels_are_those_of_a_reader(source, expected):
    assert marks(source) == expected


def test_code_with_a_syntax_error_has_no_tags():
    assert character_tags("x = (\n") == []
    assert character_tags("  x\n y\n") == []


def test_the_parts_of_a_format_string_are_one_string():
    # f"a{g('b', f'{c}')}" # d    as Python 3.12 divides it
    tokens = [
        ("FSTRING_START", (1, 0), (1, 2)),
        ("FSTRING_MIDDLE", (1, 2), (1, 3)),
        ("NAME", (1, 4), (1, 5)),
        ("STRING", (1, 6), (1, 9)),
        ("FSTRING_START", (1, 11), (1, 13)),
        ("NAME", (1, 14), (1, 15)),
        ("FSTRING_END", (1, 16), (1, 17)),
        ("FSTRING_END", (1, 19), (1, 20)),
        ("COMMENT", (1, 21), (1, 24)),
        ("STRING", (2, 0), (2, 2)),
    ]
    assert list(outer_spans(tokens)) == [
        ("STRING", (1, 0), (1, 20)),
        ("COMMENT", (1, 21), (1, 24)),
        ("STRING", (2, 0), (2, 2)),
    ]


def test_pieces_are_cut_from_files_of_a_split_and_always_the_same(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i:02}.py" for i in range(40)]
    for i, path in enumerate(paths):
        path.write_text(f"a{i:02} = '{i:02}'  # {i:02}\n" * 3, "utf-8")
    paths[0].write_text("x = (" * 20)  # which Python cannot read
    monkeypatch.setattr(python_tokens, "standard_library", lambda: paths)
    counts = {"train": 1000, "test": 1000}
    found = pieces(counts, 9)["train"]
    assert found == pieces(counts, 9)["train"]
    assert found[:5] == pieces({"train": 5}, 9)["train"]
    files = {path.read_text(): character_tags(path.read_text()) for path in paths}
    for words, tags in found:
        (source,) = (text for text in files if words in text)
        start = source.index(words)
        assert tags == files[source][start : start + 9]
    assert len({piece.words[0] for piece in found}) > 5  # pieces begin anywhere
    read = [{text for text in files if piece.words in text} for piece in found]
    assert len(set.union(*read)) == 35  # of 36
    assert not {piece.words for piece in pieces(counts, 9)["test"]} & {p.words for p in found}
    monkeypatch.setattr(python_tokens, "PER_FILE", 2)
    few = pieces({"train": 1000}, 9)["train"]
    assert 35 <= len(few) <= 70
    assert {piece.words for piece in few} < {piece.words for piece in found}
