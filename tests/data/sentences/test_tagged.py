"""Tagged sentences: file formats, the tags of a corpus, batches of ids."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.catalogue import DataError
from data.sentences import tagged
from data.sentences.tag_batches import UNSEEN, Vocabularies
from data.sentences.tag_files import Sentence
from data.sentences.tagged import TaggedCorpus, load_tagged

CHUNKS = "The DT B-NP\r\ncat NN I-NP\nsat VBD B-VP\n \n\n-DOCSTART- -X- O\n\n#\t#\tO\n2 CD O\n"
TREES = """# sent_id = 1
# text = don't go
1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

1\tten 000\t_\tNUM\tCD\t_\t0\troot\t_\t_
"""
SPANS = (
    "Mac OS - slow!####Mac=T-NEG OS=T-NEG -=O slow=O !=O\n"
    "a = b####the=O =====O screen=T-POS size=T-POS weight=T-NEU case=T-POS\n"
)
SHORT = TaggedCorpus(
    [Sentence(["Ab", "12", "ab", "Cde"], ["N", "M", "N", "V"]), Sentence(["x"], ["N"])],
    [Sentence(["b"], ["Z"])],
    [Sentence(["12345"], ["M"])],
)


def folder_of(path, **files):
    for split, text in files.items():
        (path / f"some_{split}.txt").write_text(text, newline="")
    return path


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (
            "conll",
            CHUNKS,
            [(["The", "cat", "sat"], ["B-NP", "I-NP", "B-VP"]), (["#", "2"], ["O", "O"])],
        ),
        (  # columns are tabs: other white space is part of a word; a word may be #
            "conll",
            "\ufeff# a comment\n# another\tline\there\n"
            "New\u00a0York in\u2028A\u0085\tB-LOC\n#\tO\n\n"
            "#begin a document\n\n# comment\n\u3000\tI-LOC\n#\tO\n",
            [
                (["New\u00a0York in\u2028A\u0085", "#"], ["B-LOC", "O"]),
                (["\u3000", "#"], ["I-LOC", "O"]),
            ],
        ),
        (  # columns are spaces
            "conll",
            "# comment\n# and a longer one\n# O\nNew\u00a0York  B-LOC \n\n# #\nthe O\n",
            [(["#", "New\u00a0York"], ["O", "B-LOC"]), (["#", "the"], ["#", "O"])],
        ),
        (
            "conllu",
            TREES,
            [(["do", "n't", "go"], ["AUX", "PART", "VERB"]), (["ten 000"], ["NUM"])],
        ),
        (
            "spans",
            SPANS.replace("Mac=", "Mac\u00a0=").replace("Mac OS=", "Mac\u00a0 OS="),
            [
                (["Mac\u00a0", "OS", "-", "slow", "!"], list("BIOOO")),
                (["the", "====", "screen", "size", "weight", "case"], list("OOBIBB")),
            ],
        ),
    ],
)
def test_files_in_each_form(tmp_path, form, text, expected):
    corpus = load_tagged(f"{form}:{folder_of(tmp_path, train=text, dev=text, test=text)}")
    for split in (corpus.train, corpus.validation, corpus.test):
        assert [tuple(sentence) for sentence in split] == expected
    assert not corpus.by_character
    assert not corpus.notes


def test_another_column_is_the_tag(tmp_path):
    folder = folder_of(tmp_path, train=CHUNKS, valid=CHUNKS, test=CHUNKS)
    corpus = load_tagged(f"conll:{folder}", column=2)
    assert corpus.train[0].tags == ["DT", "NN", "VBD"]
    assert corpus.tags == ("#", "CD", "DT", "NN", "VBD")


def test_without_a_file_for_it_validation_is_the_last_tenth_of_train(tmp_path):
    text = "".join(f"w{i} O\n\n" for i in range(29))
    corpus = load_tagged(f"conll:{folder_of(tmp_path, train=text, test=text)}")
    assert [words[0] for words, _ in corpus.validation] == ["w27", "w28"]
    assert len(corpus.train) == 27
    assert corpus.notes == {"validation": "the last tenth of train"}


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("conll", "a N\nb\n", r"line 2 of .*some_train.txt has 1 columns, not 2"),
        ("conll", "a\n", "line 1 of .* has 1 columns, not 2"),
        ("conll", "a\tN\n#\tb\tN\n", "line 2 of .* has 3 columns, not 2"),
        ("conll", "a\tN\n\tN\n", "line 2 of .* has an empty column"),
        ("conllu", TREES + "2\tx\n", r"line 10 of .* has 2 columns, not 10"),
        ("conllu", "\n1-2" + "\tx" * 9, "sentence at line 2 of .* has no word"),
        ("spans", "a####a=O b=POS\n", "line 1 of .* has the tag 'POS'"),
        ("spans", "a####a=O b\n", "line 1 of .* has the tag 'b'"),
        ("spans", "a####a=O\n\n", "line 2 of .* has no word"),
        ("conll", "\n", "the train split of conll:.* has no sentence"),
        (
            "conl",
            "a N\n",
            r"no dataset 'conl:.*did you mean conll:.*\?.*; available: python_tokens",
        ),
    ],
)
def test_faulty_files_are_refused_in_one_line(tmp_path, name, text, part):
    folder = folder_of(tmp_path, train=text, dev="a N\n", test="a N\n")
    with pytest.raises(DataError, match=part) as error:
        load_tagged(f"{name}:{folder}")
    assert "\n" not in str(error.value)


def test_a_folder_that_is_missing_or_lacks_a_split_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"conll: needs a folder, but '.*none' is not one"):
        load_tagged(f"conll:{tmp_path / 'none'}")
    with pytest.raises(DataError, match="needs one file with test in its name, found some_train"):
        load_tagged(f"conll:{folder_of(tmp_path, train=CHUNKS)}")


class Source:
    """Elements as a source of TFDS gives them."""

    def __init__(self, elements, features):
        self.elements, self.dataset_info = elements, SimpleNamespace(features=features)

    def __len__(self):
        return len(self.elements)

    def __getitems__(self, places):
        return [self.elements[i] for i in places]


def test_a_prepared_treebank_gives_the_words_of_its_trees(monkeypatch):
    element = {"tokens": [b"cannot", b"can", b"not"], "upos": [2, 1, 0], "head": [b"_", b"0", b"1"]}
    upos = SimpleNamespace(feature=SimpleNamespace(names=["NOUN", "VERB", "_"]))
    source = Source([element], {"tokens": None, "head": None, "upos": upos})
    splits = {"train": source, "dev": source, "test": source}
    monkeypatch.setattr(tagged, "load_splits", lambda *_: splits)
    corpus = load_tagged("treebank/en")
    assert corpus.validation == [(["can", "not"], ["VERB", "NOUN"])]
    del splits["dev"]
    with pytest.raises(DataError, match=r"has splits \['test', 'train'\]; a tagged text needs dev"):
        load_tagged("treebank/en")
    splits["train"] = Source([], {"image": None})
    with pytest.raises(
        DataError, match="dataset treebank/en is not a treebank with tokens, upos and head"
    ):
        load_tagged("treebank/en")


def test_tags_of_spans_have_both_marks_of_each_type_and_others_are_sorted():
    a, b = Sentence(["x", "y"], ["I-X", "B-Y"]), Sentence(["x"], ["O"])
    assert TaggedCorpus([a], [b], [b]).tags == ("O", "B-X", "I-X", "B-Y", "I-Y")
    plain = Sentence(["x"], ["B"])
    assert TaggedCorpus([plain], [plain], [plain]).tags == ("O", "B", "I")
    assert SHORT.tags == ("M", "N", "V", "Z")  # one of them in validation alone
    corpus = TaggedCorpus(SHORT.train, SHORT.validation, [Sentence(["x", "y"], ["NN", "N"])])
    assert corpus.tags == SHORT.tags
    assert corpus.unseen == {"NN": (1, "sentence 1 of the test set")}
    vocabularies = Vocabularies.from_corpus(corpus, 1, True, 0)
    assert vocabularies.encode(corpus.test).tags[0].tolist() == [UNSEEN, 1]


def test_a_tag_is_found_at_its_line(tmp_path):
    train = "# one\na\tB-X\nb\tO\n\n" + "c\tO\n\n" * 9
    folder = folder_of(tmp_path, train=train + "\nd\tI-X\ne\tX-Y\n", test="\nf\tS-X\n")
    corpus = load_tagged(f"conll:{folder}")
    path = folder / "some_train.txt"
    assert corpus.wrong_tag == f"the tag X-Y in line 25 of {path}"  # in the part for validation
    assert corpus.unseen == {"S-X": (1, f"line 2 of {folder / 'some_test.txt'}")}
    assert corpus.scheme == ""
    path.write_text(train + "d\tO\ne\tI-X\n")
    corpus = load_tagged(f"conll:{folder}")
    assert (corpus.scheme, corpus.wrong_tag) == ("IOB2", "")
    assert corpus.violations("train") == []
    assert corpus.violations("validation") == [f"the tag I-X in line 24 of {path}"]


def test_the_digest_tells_words_tags_and_splits_apart():
    a, b = Sentence(["x"], ["N"]), Sentence(["x"], ["V"])
    corpora = [([a], [a], [b]), ([a], [b], [a]), ([a, a], [a], [b]), ([a], [a], [b])]
    digests = [TaggedCorpus(*splits).sha256 for splits in corpora]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_ids_by_hand():
    vocabularies = Vocabularies.from_corpus(SHORT, minimum=1, fold=True, letters=3)
    assert vocabularies.words.words == ("ab", "00", "cde", "x")
    assert vocabularies.alphabet.characters == "12ACabdex"
    assert (vocabularies.word_ids, vocabularies.letter_ids) == (6, 11)
    train = vocabularies.encode(SHORT.train)
    (batch,) = EvaluationBuckets(train, 3, ((4,),))
    nothing = [0, 0, 0]
    expected = {
        "words": [[2, 3, 2, 4], [5, 0, 0, 0], [0, 0, 0, 0]],
        "tags": [[1, 0, 1, 2], [1, 0, 0, 0], [0, 0, 0, 0]],
        "lengths": [4, 1, 0],
        "mask": [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]],
        "index": [0, 1, -1],
        "spellings": [
            [[4, 7, 0], [2, 3, 0], [6, 7, 0], [5, 8, 9]],
            [[10, 0, 0], nothing, nothing, nothing],
            [nothing] * 4,
        ],
    }
    assert set(batch) == set(expected)
    for key, rows in expected.items():
        np.testing.assert_array_equal(batch[key], rows, err_msg=key)
        assert batch[key].dtype == (np.float32 if key == "mask" else np.int32)
    long = vocabularies.encode(SHORT.test)
    assert long.words[0].tolist() == [1]  # 00000 is not 00
    assert long.spellings[0].tolist() == [[2, 3, 1]]  # 1, 2, and 5, which is not known


def test_words_that_are_not_folded_or_spelled():
    vocabularies = Vocabularies.from_corpus(SHORT, minimum=1, fold=False, letters=0)
    assert vocabularies.words.words == ("12", "Ab", "Cde", "ab", "x")
    assert vocabularies.letter_ids == 0
    assert vocabularies.encode(SHORT.train).words[0].tolist() == [3, 2, 5, 4]
    assert "spellings" not in TrainingBuckets(vocabularies.encode(SHORT.train), 2, 0)(0)
    letters = [Sentence("aabbc", "NNNNN")]
    rare = Vocabularies.from_corpus(TaggedCorpus(letters, letters, letters), 2, False, 0)
    assert rare.encode([Sentence("abc", "NNN")]).words[0].tolist() == [2, 3, 1]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
    letters=st.integers(0, 4),
)
def test_batches_hold_each_sentence_once_and_nothing_else(lengths, batch_size, letters):
    words = [[f"{i}.{place}" for place in range(length)] for i, length in enumerate(lengths)]
    sentences = [Sentence(row, ["NV"[len(word) % 2] for word in row]) for row in words]
    corpus = TaggedCorpus([*sentences, Sentence(["a", "b"], "NV")], sentences, sentences)
    vocabularies = Vocabularies.from_corpus(corpus, 1, False, letters)
    train = TrainingBuckets(vocabularies.encode(sentences), batch_size, seed=1)
    found = []
    for step in range(train.steps_per_epoch):
        batch = train(step)
        for row, length in enumerate(batch["lengths"]):
            np.testing.assert_array_equal(
                batch["mask"][row], np.arange(batch["words"].shape[1]) < length
            )
            ids, tags = (batch[key][row, :length].tolist() for key in ("words", "tags"))
            assert not batch["words"][row, length:].any()
            assert not batch["tags"][row, length:].any()
            known = [vocabularies.words.words[i - 2] for i in ids]
            found += [(known, [vocabularies.tags[i] for i in tags])] * bool(length)
            if letters:
                spelled = [vocabularies.spell(word) for word in known]
                np.testing.assert_array_equal(
                    batch["spellings"][row, :length], np.reshape(spelled, (length, letters))
                )
                assert not batch["spellings"][row, length:].any()
    assert sorted(found) == sorted((row, list(tags)) for row, tags in sentences)


def test_marks_and_joiners_are_parts_of_words_to_tag():
    text = "Cafe\u0301s don't हिन्दी"
    found = [match[0] for match in tagged.WORD.finditer(text)]
    assert found == [
        "Cafe\u0301s",
        "do",
        "n't",
        "हिन्दी",
    ]
