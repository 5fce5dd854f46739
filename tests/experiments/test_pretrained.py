"""Pretrained word vectors: the three file forms, what is refused, and the rows of each network."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest

from data.catalogue import DataError
from experiments import nmt
from experiments.common.pretrained import pretrained_rows
from tests.data.text.vectors import write_vectors
from tests.runs.test_experiments import small
from train.config import ConfigError
from train.loop import fit
from train.paths import paths
from train.weights import read_state

WORDS = ("if", "the", "Not-In-The-Text")
TABLE = np.float32([[0.5, -1.25, 3.0], [0.1, 0.2, 0.3], [7.0, 8.0, 9.0]])


def glove(path, words, table):
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, table, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "write"),
    [("vectors.txt", write_vectors), ("vectors.bin", write_vectors), ("glove.txt", glove)],
)
def test_rows_are_those_of_the_words_in_any_form(tmp_path, capsys, name, write):
    write(tmp_path / name, WORDS, TABLE)
    rows = pretrained_rows(str(tmp_path / name), ["else", "The", "if"], 3, first=2)
    expected = np.full((5, 3), np.nan, np.float32)
    expected[3:] = TABLE[[1, 0]]  # "The" is looked up in lower case
    np.testing.assert_array_equal(rows, expected)
    assert capsys.readouterr().out == f"vectors: 2 of 3 words are in {tmp_path / name}\n"


@pytest.mark.parametrize(
    ("words", "size", "message"),
    [
        (["if"], 4, "have 3 numbers, but config.embedding is 4"),
        (["else", "for"], 3, "has a vector of none of the 2 words"),
    ],
)
def test_vectors_that_do_not_serve_are_refused(tmp_path, words, size, message):
    write_vectors(tmp_path / "vectors.txt", WORDS, TABLE)
    with pytest.raises(DataError, match=message):
        pretrained_rows(str(tmp_path / "vectors.txt"), words, size)
    with pytest.raises(DataError, match="cannot read vectors"):
        pretrained_rows(str(tmp_path / "missing.txt"), words, size)
    (tmp_path / "bad.txt").write_text("one line\n")
    with pytest.raises(DataError, match="is not a file of word vectors"):
        pretrained_rows(str(tmp_path / "bad.txt"), words, size)


class EnoughError(Exception):
    """Training would begin."""


ROW_OF = {
    "pos_tagger": lambda task, word: task.vocabularies.words.padded_id(word),
    "sentiment": lambda task, word: task.vocabulary.padded_id(word),
    "word2vec": lambda task, word: task.vocabulary.index[word],
    "ngram_lm": lambda task, word: task.vocabulary.encode(word)[0],
    "word_lm": lambda task, word: task.vocabulary.encode(word)[0],
}
TABLES = {"word2vec": "params/words", "ngram_lm": "params/embed/embedding"}
TABLES["word_lm"] = TABLES["ngram_lm"]
TABLES["pos_tagger"] = TABLES["sentiment"] = "params/encoder/embed/embedding"


@pytest.mark.parametrize("name", ROW_OF)
def test_the_first_checkpoint_has_the_vectors_of_known_words(name, text_file, tmp_path):
    module = importlib.import_module(f"experiments.{name}")
    config = small(module, text_file, figures_at=(), eval_every=2)
    size = config.embedding
    table = np.random.default_rng(0).standard_normal((2, size)).astype(np.float32)
    file = tmp_path / "vectors.bin"
    write_vectors(file, WORDS[1:], table)
    config.vectors = str(file)
    experiment = module.build(config)
    row = ROW_OF[name](experiment.task, "the")

    def train(step, rows):
        if (tmp_path / "run" / "checkpoints").is_dir():  # the state of step 0 is saved
            raise EnoughError
        return experiment.train(step, rows)

    with pytest.raises(EnoughError):
        fit(dataclasses.replace(experiment, train=train), config, tmp_path / "run")
    found = paths(read_state(tmp_path / "run" / "checkpoints", 0))[TABLES[name]]
    np.testing.assert_array_equal(found[row], table[0])
    others = np.delete(np.asarray(found), row, axis=0)
    assert np.isfinite(others).all()
    assert not (np.abs(others - table[0]).max(axis=1) == 0).any()
    assert not np.isin(others, table[1]).any()


def test_both_sides_of_a_translation_start_from_the_vectors_of_words(tmp_path):
    lines = [f"{n} little cat{'s' * (n > 1)}\t{n} kleine Katze{'n' * (n > 1)}" for n in range(99)]
    (tmp_path / "cats.tsv").write_text("\n".join(lines))
    write_vectors(tmp_path / "v.txt", ["Katzen", "dog"], np.float32([[1, 2], [3, 4]]))
    config = nmt.Config(
        dataset=f"tsv:{tmp_path / 'cats.tsv'}",
        tokenizer="words",
        vocab_size=40,
        embedding=2,
        hidden=4,
        vectors=str(tmp_path / "v.txt"),
    )
    experiment = nmt.build(config)
    ((row,),) = experiment.task.source.encode(["Katzen"])
    tables = experiment.pretrained
    assert set(tables) == {"params/encoder/table/embedding", "params/decoder/table/embedding"}
    shapes = paths(jax.eval_shape(experiment.task.init, jax.random.key(0), experiment.train(0)))
    for path, table in tables.items():
        assert table.shape == shapes[path].shape
        np.testing.assert_array_equal(table[row], [1, 2])
        assert np.isnan(np.delete(table, row, axis=0)).all()
    config.tokenizer = "characters"
    with pytest.raises(ConfigError, match=r"config\.vectors needs .* config\.tokenizer=words"):
        nmt.build(config)
