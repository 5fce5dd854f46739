"""Sentiment: the splits of the data, ratings as the network computes them, --mode=rate."""

import io

import jax
import numpy as np
import pytest

from data.buckets import pad_rows
from data.catalogue import DataError
from data.sentences.sentiment import LabelledSentence, load_sentiment
from experiments.sentence.evidence import Rating
from experiments.sentence.rating_modes import coloured, numbered, rate
from experiments.sentiment import Config, build
from nets.sentence.classifier import evidence
from tests.experiments.opened import opened
from tests.nets.recurrent.networks import noise_like, quick_jit


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    for label, word in (("neg", "bad"), ("pos", "good")):
        lines = (f"it is {word} number {i} , isn't it\n" for i in range(30))
        (folder / f"films.{label}").write_text("".join(lines))
    sizes = {"hidden": 2, "embedding": 2, "batch_size": 8, "cell": "rnn"}
    return build(Config(dataset=f"lines:{folder}", figures_at=(), **sizes)), folder


class RandomPredictor:
    """A network with random variables."""

    def __init__(self, task):
        words = np.zeros((1, 4), np.int32)
        shapes = jax.eval_shape(task.model.init, jax.random.key(0), words, None, np.array([4]))
        self.variables = noise_like(shapes, 0)


def test_every_sentence_is_in_one_split_and_the_fold_is_the_test(experiment):
    experiment, folder = experiment
    sizes = {name: experiment.provenance[name] for name in ("train", "validation", "test")}
    assert sizes == {"train": 49, "validation": 5, "test": 6}
    rows = [row for batch in experiment.evals["test"] for row in batch["index"] if row >= 0]
    assert sorted(rows) == list(range(6))
    known = experiment.task.vocabulary.index
    assert "isn't" in known
    corpus = load_sentiment(f"lines:{folder}")
    labels = [label for batch in experiment.evals["test"] for label in batch["label"]]
    assert sorted(labels[:6]) == sorted(label for _, label in corpus.test)
    assert isinstance(corpus.test[0], LabelledSentence)


def test_the_seed_selects_the_test_fold_unless_config_does(experiment):
    folder = experiment[1]

    def test_set(**settings):
        built = build(Config(dataset=f"lines:{folder}", hidden=2, embedding=2, **settings))
        batches = list(built.evals["test"])
        return [(b["words"].tolist(), b["label"].tolist()) for b in batches]

    assert test_set(seed=13) == test_set(seed=3) == test_set(seed=13, fold=3)
    assert test_set(seed=13) != test_set(seed=4)


def test_ratings_are_those_of_the_network_in_the_order_of_the_sentences(experiment):
    task = experiment[0].task
    sentences = [task.words_of(text) for text in ("It isn't good!", "bad", "it can't " * 5)]
    assert sentences[:2] == [["it", "isn't", "good", "!"], ["bad"]]
    assert sentences[2][:3] == ["it", "ca", "n't"]
    variables = RandomPredictor(task).variables
    ids = [[task.vocabulary.index.get(word, -1) + 2 for word in words] for words in sentences]
    run = quick_jit(lambda words, lengths: task.model.apply(variables, words, None, lengths))
    logits = run(pad_rows(ids, 16), np.array([len(words) for words in sentences]))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    explain = quick_jit(lambda words, n: evidence(task.model, variables, words, None, n)[1])
    contributions = explain(pad_rows(ids, 16), np.array([len(words) for words in sentences]))
    for words, p, expected, rating in zip(
        sentences, probabilities, contributions, task.ratings(variables, sentences), strict=True
    ):
        assert rating.label == p.argmax()
        np.testing.assert_allclose(rating.probability, p.max(), rtol=1e-5)
        np.testing.assert_allclose(
            rating.contributions, expected[: len(words)], rtol=1e-4, atol=1e-6
        )
        assert np.abs(rating.contributions).max() > 1e-3


def test_mode_rate_prints_a_line_for_each_sentence(experiment, monkeypatch, capsys):
    task = experiment[0].task
    text = io.TextIOWrapper(io.BytesIO(b"it is good\nbad .\n"))
    monkeypatch.setattr("sys.stdin", text)
    rate(opened(task, RandomPredictor(task)))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [len(line) for line in lines] == [3, 3]
    assert {line[0] for line in lines} <= {"neg", "pos"}
    assert all(0.5 <= float(line[1]) <= 1 for line in lines)
    assert [word.split("(")[0] for word in lines[0][2].split()] == ["it", "is", "good"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\n \n")))
    with pytest.raises(DataError, match="line 2 of the input is an empty sentence"):
        rate(opened(task, RandomPredictor(task)))


def test_words_are_coloured_by_their_contributions():
    words, contributions = ["so", "good", "but", "dull"], np.array([0.1, 1.0, 0.5, -0.3])
    expected = "so \x1b[34;1mgood\x1b[0m \x1b[34mbut\x1b[0m \x1b[31;4mdull\x1b[0m"
    assert coloured(words, Rating(1, 0.9, contributions).contributions) == expected
    assert coloured(["flat"], np.zeros(1)) == "flat"
    assert numbered(words, contributions) == "so(+0.10) good(+1.00) but(+0.50) dull(-0.30)"
