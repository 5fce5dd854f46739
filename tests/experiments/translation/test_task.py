"""Translation: loss and scores, the order of sentences, the modes, invalid input."""

import io
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import sacrebleu

from data.catalogue import DataError
from data.text.subwords import make_vocabulary
from data.text.vocabulary import BEGIN, END, KINDS
from experiments import nmt
from experiments.common.plane import principal_components
from experiments.common.stdin import lines_of_input
from experiments.translation import modes
from experiments.translation.pictures import draw_states, spread
from experiments.translation.search import (
    Hypothesis,
    options,
    row_lengths,
    searched_hypotheses,
    translator,
)
from experiments.translation.task import Translate, signatures
from nets.decoding.constraints import Limits
from tests.experiments.opened import opened
from train.config import ConfigError

SIZE = {
    "hidden": 8,
    "embedding": 6,
    "batch_size": 4,
    "heldout_examples": 10,
    "beam_size": 2,
    "max_length": 30,
}


@pytest.fixture(scope="module")
def network():
    """Task, initial variables, and the held-out dates.

    The length penalty makes long translations win, not the empty one.
    """
    settings = {"dataset": "dates:en+de-iso", "label_smoothing": 0.1, "length_penalty": 5.0}
    experiment = nmt.build(nmt.Config(**settings, **SIZE))
    task = experiment.task
    variables = jax.jit(task.init)(jax.random.key(0), experiment.train(0))
    return task, variables, experiment.evals["validation"]


def test_loss_is_the_sum_over_the_steps_of_a_search(network):
    task, variables, held_out = network
    batch = next(iter(held_out))
    outputs = jax.jit(task.model.apply)(variables, *task.inputs(batch))
    means = task.means(outputs, batch)
    tokens = batch["targets"][:, None]  # forces every step of the search
    free = np.full((len(tokens), 1, 3 * 30 // 2 - tokens.shape[-1]), -1)
    prefix = np.concatenate([np.where(batch["mask"][:, None] > 0, tokens, -1), free], axis=-1)
    result = task.search(variables, batch, limits=Limits(prefix=prefix[:, 0]))
    real = batch["index"] >= 0
    searched = result.tokens[real, 0, : tokens.shape[-1]]
    np.testing.assert_array_equal(searched, batch["targets"][real])
    np.testing.assert_allclose(-result.log_probs[real, 0].sum(), means["nats"].total, rtol=1e-5)
    log_p = np.asarray(jax.nn.log_softmax(outputs), np.float64)
    smoothed = 0.9 * np.eye(log_p.shape[-1])[batch["targets"]] + 0.1 / log_p.shape[-1]
    expected = -(smoothed * log_p).sum(axis=-1)[batch["mask"] > 0].sum()
    np.testing.assert_allclose(means["loss"].total, expected, rtol=1e-5)
    correct = (log_p.argmax(axis=-1) == batch["targets"])[batch["mask"] > 0].sum()
    assert means["accuracy"].total == correct


def test_translations_are_in_the_order_of_the_sentences(network):
    task, variables, held_out = network
    assert task.headline == "exact"
    together = task.translate(variables, held_out)
    alone = translator(task)
    texts = [text for _, text, _ in together]
    assert texts == [alone(variables, [text])[0][0].text for text, _ in held_out.examples]
    assert len(set(texts)) > 1


def test_scores_are_of_the_whole_set(network, monkeypatch):
    task, variables, held_out = network
    references = [reference for _, reference in held_out.examples]
    translations = [*references[:-1], "1"]
    found = [Hypothesis(0.0, text, text == "1") for text in translations]
    monkeypatch.setattr(task, "translate", lambda variables, batches: found)
    scores = task.scores(SimpleNamespace(variables=variables), held_out)
    assert scores["exact"] == pytest.approx(0.9)
    assert scores["truncated"] == pytest.approx(0.1)
    bleu, chrf = sacrebleu.corpus_bleu, sacrebleu.corpus_chrf
    assert scores["bleu"] == pytest.approx(bleu(translations, [references]).score)
    assert scores["chrf"] == pytest.approx(chrf(translations, [references]).score)
    assert 50 < min(scores["bleu"], scores["chrf"]) < 100


def test_figures_are_the_translations_and_their_attention(network):
    task, variables, held_out = network
    figures = task.figures(SimpleNamespace(variables=variables), held_out)
    _, reference = held_out.examples[next(iter(held_out))["index"][0]]
    assert reference in figures["translations"]
    *panels, scale = figures["attention"].axes
    assert len(panels) >= 3
    assert {image.get_clim() for panel in panels for image in panel.images} == {(0, 1)}
    assert scale.get_ylabel() == "attention weight"


@pytest.mark.parametrize("count", [1, 2])
def test_mode_translates_every_line(network, monkeypatch, capsys, count):
    task, variables, _ = network
    monkeypatch.setattr(task.config, "n_best", count)
    text = io.TextIOWrapper(io.BytesIO("<de>3. März 2005\n<en>May 4, 1999\n".encode()))
    monkeypatch.setattr("sys.stdin", text)
    modes.translate(opened(task, variables=variables))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    best = translator(task)(variables, ["<de>3. März 2005", "<en>May 4, 1999"])
    pairs = [pair for hypotheses in best for pair in hypotheses]
    assert lines == [text if count == 1 else f"{score:8.3f}  {text}" for score, text, _ in pairs]
    cut = [number for number, row in enumerate(best, 1) for hypothesis in row if hypothesis.cut]
    warnings = [f"warning: the translation of line {number} was cut" for number in cut]
    assert err.splitlines() == warnings
    assert warnings
    (batch,) = task.buckets(["<de>3. März 2005", "<en>May 4, 1999"])
    result = task.search(variables, batch, **options(task))
    limits = row_lengths(batch)
    for row, found in enumerate(searched_hypotheses(task.target, result)[:2]):
        for rank, hypothesis in enumerate(found):
            tokens, length = result.tokens[row, rank].tolist(), result.lengths[row, rank]
            assert hypothesis.cut == (END not in tokens)
            assert length == (limits[row] if hypothesis.cut else tokens.index(END) + 1)
    assert len(lines) == 2 * count
    if count == 2:
        scores = [float(line.split()[0]) for line in lines]
        assert scores[0] >= scores[1]
        assert scores[2] >= scores[3]


def test_state_after_a_phrase_does_not_depend_on_the_others(network):
    task, variables, _ = network
    phrases = ["<de>3. März 2005", "<en>May 4, 1999"]
    states = np.array(task.encode(variables, phrases))
    encoder = task.model.bind(variables).encoder
    for row, ids in zip(states, task.source.encode(phrases), strict=True):
        single = encoder(np.array([[*ids, END]]), np.array([len(ids) + 1])).carries[-1]
        np.testing.assert_allclose(row, np.concatenate(single, axis=-1)[0], atol=1e-6)
    assert np.abs(states[0] - states[1]).max() > 1e-3


def test_groups_of_phrases_differ_in_markers():
    points, phrases = np.array([[0.0, 0], [1, 1], [2, 0]]), ["a", "b", "c"]
    (axis,) = draw_states(points, (0.6, 0.4), np.array([0, 1, 1]), phrases).axes
    markers = [line.get_marker() for line in axis.lines]
    assert markers[0] != markers[1] == markers[2]
    assert {text.get_color() for text in axis.texts} == {"black"}  # as some colours are too faint


def test_mode_draws_the_states_of_groups_of_phrases(network, monkeypatch, capsys, tmp_path):
    task, variables, _ = network
    monkeypatch.setattr(task.config, "picture", str(tmp_path / "states.png"))
    text = "<de>3. März 2005\n<de>4. März 2005\n\n\n<en>May 4, 1999\n<en>May 5, 1999\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    modes.states(opened(task, variables=variables))
    assert (tmp_path / "states.png").stat().st_size > 10_000
    assert "4 of 4 phrases have their nearest neighbour in" in capsys.readouterr().out
    (tmp_path / "states.png").unlink()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo")))
    with pytest.raises(DataError, match="needs at least three phrases, the input has 2"):
        modes.states(opened(task, variables=variables))


def test_principal_components_are_the_axes_of_most_variance():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(30, 2)) * [1, 5]
    plane -= plane.mean(axis=0)
    # rotated so that the principal axes are the coordinate axes
    plane = plane @ np.linalg.svd(plane, full_matrices=False)[2].T
    directions = np.linalg.qr(rng.normal(size=(7, 2)))[0]
    points, shares = principal_components(3 + plane @ directions.T)
    np.testing.assert_allclose(np.abs(points), np.abs(plane), atol=1e-9)
    np.testing.assert_allclose(shares, (plane**2).sum(axis=0) / (plane**2).sum())
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()


def test_labels_keep_their_order_and_a_distance():
    heights = spread(np.array([2.0, 0.0, 0.1, 5.0, 0.1]), 1.0)
    np.testing.assert_allclose(heights, [3.0, 0.0, 1.0, 5.0, 2.0])


def test_input_that_is_not_text_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf a\r\n\xff\n")))
    lines = lines_of_input()
    assert next(lines) == " a"
    with pytest.raises(DataError, match="line 2 of the input is not UTF-8"):
        next(lines)


def test_parallel_text_becomes_batches_of_its_words(tmp_path):
    lines = [f"{n} little cat{'s' * (n > 1)}\t{n} kleine Katze{'n' * (n > 1)}" for n in range(99)]
    (tmp_path / "cats.tsv").write_text("\n".join([*lines, *(f"nothing {n}\t" for n in range(9))]))
    experiment = nmt.build(
        nmt.Config(dataset=f"tsv:{tmp_path / 'cats.tsv'}", tokenizer="words", vocab_size=40, **SIZE)
    )
    batch = experiment.train(0)
    assert set(batch["inputs"][:, 0]) == {BEGIN}
    assert (batch["targets"] == END).sum() == len(batch["targets"])
    assert experiment.provenance["with an empty side"] > 0
    assert "tok:13a" in experiment.provenance["BLEU"]
    held_out = experiment.evals["test"]
    assert len(held_out.examples) > 0
    empty = {f"nothing {n}" for n in range(9)}
    assert {"\t".join(pair).strip() for pair in held_out.examples} <= {*lines, *empty}
    assert experiment.task.headline == "bleu"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_best": 3}, r"n_best must be at most config\.beam_size, 2, got 3"),
        ({"attention": "dot"}, "attention=dot needs config.bidirectional=False"),
        ({"bridge": "copy"}, "bridge=copy needs config.bidirectional=False"),
        ({"input_feeding": True, "attention": "none"}, "input_feeding needs attention"),
    ],
)
def test_incompatible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        nmt.build(nmt.Config(**SIZE, **settings))


def test_the_choices_of_tokenizers_are_those_of_the_vocabularies():
    assert nmt.Config.__dataclass_fields__["tokenizer"].metadata["choices"] == KINDS


REFERENCES = {
    "zh": ["你好，世界！欢迎你。", "ﾃｽﾄ"],
    "de": ["Er sagte: „Ja …“", "5 m² Fläche", "Die Straße\u00a0 ist  lang", "Cafe\u0301 nebenan"],
    "en": ["He said “yes” …", "a ﬁne day"],
}


@pytest.mark.parametrize("language", REFERENCES)
@pytest.mark.parametrize("kind", ["bpe", "words"])
def test_a_perfect_translation_has_bleu_100_and_is_exact(kind, language):
    references = REFERENCES[language]
    vocabulary = make_vocabulary(kind, [*references, "the cat sat on the mat of the dog"] * 5, 310)
    config = SimpleNamespace(
        n_best=1, beam_size=1, temperature=0.0, dataset="pairs:x", bleu_tokenizer=""
    )
    task = Translate(None, vocabulary, vocabulary, config, language)
    task.translate = lambda variables, batches: [
        Hypothesis(0.0, vocabulary.decode(ids), cut=False) for ids in vocabulary.encode(references)
    ]
    held_out = SimpleNamespace(examples=[("", reference) for reference in references])
    scores = task.scores(SimpleNamespace(variables=None), held_out)
    assert scores["bleu"] == pytest.approx(100)
    assert scores["chrf"] == pytest.approx(100)
    assert scores["exact"] == 1


def test_the_tokenizer_follows_the_language_unless_it_is_set():
    def tokenizer(language, chosen=""):
        signature = signatures(nmt.Config(bleu_tokenizer=chosen), language)["BLEU"]
        return signature.partition("tok:")[2].partition("|")[0]

    assert [tokenizer(x) for x in ("de", "zh-Hans", "ja", "th")] == ["13a", "zh", "char", "char"]
    assert tokenizer("zh", "13a") == "13a"
    with pytest.raises(ConfigError, match=r"config.bleu_tokenizer=ja-mecab: \S") as error:
        signatures(nmt.Config(bleu_tokenizer="ja-mecab"), "ja")
    assert "\n" not in str(error.value)


def test_a_blank_line_remains_blank(network, monkeypatch, capsys):
    task, variables, _ = network
    text = "3. März 2005\n\n  \n4. Mai 2001\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    modes.translate(SimpleNamespace(task=task, variables=variables))
    lines = capsys.readouterr().out.split("\n")
    assert [bool(line) for line in lines] == [True, False, False, True, False]
