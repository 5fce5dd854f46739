"""--mode=translate: limits on words, sampling, settings that do not fit."""

import re

import jax
import numpy as np
import pytest

from data.text.vocabulary import END, FIRST
from experiments import nmt
from experiments.translation import modes
from experiments.translation.search import (
    hypothesis,
    longest,
    row_lengths,
    translator,
)
from experiments.translation.settings import SearchConfig
from nets.decoding.sampling import greedy
from tests.experiments.opened import opened
from train.config import ConfigError

SIZE = {"hidden": 8, "embedding": 6, "batch_size": 4, "heldout_examples": 10, "beam_size": 2}
LINES = ["<de>3. März 2005", "<en>May 4, 1999", "<en>July 31, 2011"]


@pytest.fixture(scope="module")
def network():
    """Task and initial variables."""
    experiment = nmt.build(nmt.Config(dataset="dates:en+de-iso", max_length=30, **SIZE))
    task = experiment.task
    return task, jax.jit(task.init)(jax.random.key(0), experiment.train(0))


@pytest.fixture
def translate(network, monkeypatch):
    """Function that translates LINES with some settings: (score, text) for each line."""
    task, variables = network

    def run(**settings):
        for field in SearchConfig.__dataclass_fields__:
            if field in SearchConfig.__annotations__:
                default = SearchConfig.__dataclass_fields__[field].default
                monkeypatch.setattr(task.config, field, settings.get(field, default))
        return translator(task)(variables, LINES)

    return run


def test_translations_obey_all_limits(translate, network):
    settings = {"required": "07-3; 9", "banned": "5;11", "min_target_length": 60}
    more = {
        "no_repeat_ngram": 3,
        "coverage_penalty": 0.5,
        "groups": 2,
        "diversity": 1.0,
        "n_best": 2,
    }
    for hypotheses in translate(**settings, **more):
        for score, text, _ in hypotheses:
            assert np.isfinite(score)
            assert "07-3" in text
            assert "9" in text
            assert not re.search("5|11", text)
            assert len(text) + 1 >= 60  # above the limit without a minimum
            (ids,) = network[0].target.encode([text])
            trigrams = [*zip(ids, ids[1:], ids[2:], strict=False)]
            assert len(set(trigrams)) == len(trigrams)
        assert hypotheses[0].score >= hypotheses[1].score


def test_the_limit_follows_the_sentence_and_what_it_cuts_is_known(network):
    task, _ = network
    batch = {"source": np.zeros((2, 12)), "source_lengths": np.array([3, 12])}
    assert row_lengths(batch, 5).tolist() == [21, 39]
    assert longest(batch, 5) == 39
    assert hypothesis(task.target, None, np.array([FIRST, END])).cut is False
    assert hypothesis(task.target, None, np.array([FIRST, FIRST])).cut is True
    assert hypothesis(task.target, None, np.array([], int)).cut is False


def test_samples_depend_on_the_seed_and_the_filters(translate, network, monkeypatch, capsys):
    task, variables = network
    first = translate(temperature=1.0, n_best=2)
    assert [[score for score, _, _ in samples] for samples in first] == [[None, None]] * 3
    texts = [text for samples in first for _, text, _ in samples]
    assert len(set(texts)) > 3
    assert translate(temperature=1.0, n_best=2) == first
    monkeypatch.setattr("experiments.translation.modes.texts_of_input", lambda: [LINES])
    modes.translate(opened(task, variables=variables))
    assert capsys.readouterr().out.splitlines() == texts
    monkeypatch.setattr(task.config, "seed", 1)
    assert translate(temperature=1.0, n_best=2) != first
    (batch,) = task.buckets(LINES)
    best = greedy(task.step_model(variables, batch), max_length=longest(batch)).tokens
    expected = {
        int(i): task.target.decode(tokens[:length])
        for i, tokens, length in zip(batch["index"], best, row_lengths(batch), strict=True)
    }
    single = translate(temperature=0.8, top_k=1)
    assert [text for ((_, text, _),) in single] == [expected[i] for i in range(3)]


def test_words_are_phrases_of_the_target_vocabulary(tmp_path):
    lines = [f"{n} little cat{'s' * (n > 1)}\t{n} kleine Katze{'n' * (n > 1)}" for n in range(99)]
    (tmp_path / "cats.tsv").write_text("\n".join(lines))
    settings = {"tokenizer": "words", "vocab_size": 40, "required": "kleine Katzen", "banned": "1"}
    config = nmt.Config(dataset=f"tsv:{tmp_path / 'cats.tsv'}", **SIZE, **settings)
    experiment = nmt.build(config)
    task = experiment.task
    variables = jax.jit(task.init)(jax.random.key(0), experiment.train(0))
    for ((_, text, _),) in translator(task)(variables, ["1 little cat", "2 little cats"]):
        assert "kleine Katzen" in text
        assert "1" not in text.split()
    task.config.required = "kleine, Hund"
    with pytest.raises(ConfigError, match="required: the target vocabulary does not cover 'Hund'"):
        translator(task)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": 3}, r"groups must divide config\.beam_size, 2, got 3"),
        ({"diversity": 1.0}, r"config\.diversity needs config\.groups above 1"),
        ({"required": "2,12", "banned": "2"}, "no translation satisfies the settings"),
        ({"required": "2005", "banned": "00"}, "no hypothesis has all required phrases"),
        ({"top_k": 3}, r"config\.top_k needs config\.temperature to be above 0"),
        ({"top_p": 0.9}, r"config\.top_p needs config\.temperature to be above 0"),
        ({"temperature": 1.0, "banned": "1"}, r"config\.banned needs config\.temperature to be 0"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(translate, settings, message):
    with pytest.raises(ConfigError, match=message) as raised:
        translate(**settings)
    assert "\n" not in str(raised.value)


def test_coverage_needs_attention(network, monkeypatch):
    task, _ = network
    monkeypatch.setattr(task.config, "attention", "none")
    monkeypatch.setattr(task.config, "coverage_penalty", 0.5)
    with pytest.raises(ConfigError, match="coverage_penalty needs attention"):
        translator(task)
