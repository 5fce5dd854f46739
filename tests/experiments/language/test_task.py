"""Language models: the chain rule, evaluation in one pass, perplexity, sampled text."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.text.streams import EvaluationWindows
from experiments import word_lm
from experiments.language.generation import generate
from nets.decoding.sampling import sample
from nets.decoding.step_model import StepModel
from tests.experiments.opened import opened
from train.config import ConfigError
from train.evaluate import Evaluator
from train.placement import Placement
from train.state import stream

WORDS = ["a b c", "b a", "c c a b", "a"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Task and random variables of a small word model, and a text."""
    folder = tmp_path_factory.mktemp("words")
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text("\n".join(WORDS * 9) + "\nrare a\n")
    config = word_lm.Config(
        dataset=f"words:{folder}",
        cell="lstm",
        hidden=6,
        layers=2,
        embedding=5,
        bptt_length=4,
        batch_size=4,
        min_count=2,
    )
    experiment = word_lm.build(config)
    state, _ = Placement(4).init(experiment, 3, experiment.train(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.7, leaf.shape)), state.params)
    return experiment, {"params": params}


def score(task, variables, ids):
    """Sum of log P(symbol | symbols before it), computed symbol by symbol."""
    total, carry = 0.0, task.model.initialize_carry(1)
    step = jax.jit(task.model.apply)
    for token, target in itertools.pairwise(ids):
        logits, carry = step(variables, np.array([[token]]), carry)
        total += float(jax.nn.log_softmax(logits[0, 0])[target])
    return total


def test_evaluation_is_one_pass_for_any_window_and_any_rows(model):
    experiment, variables = model
    ids = experiment.evals["test"].ids
    expected = -score(experiment.task, variables, ids) / (len(ids) - 1)
    assert expected == pytest.approx(math.log(4), rel=0.9)
    for rows, length in ((4, 4), (4, 25), (8, 7), (4, 500)):
        evaluate = Evaluator(experiment.task, Placement(rows))
        metrics = evaluate(variables, EvaluationWindows(ids, rows, length))
        assert metrics["loss"] == pytest.approx(expected, abs=1e-5)
        assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
        assert metrics["bits_per_word"] == pytest.approx(metrics["loss"] / math.log(2))


def test_unknown_words_are_never_sampled(model):
    experiment, variables = model
    assert experiment.task.suppressed == (experiment.task.vocabulary.encode("rare")[0],)
    text = experiment.task.generate(variables)
    assert set(text.split()) <= {"a", "b", "c"}
    assert len(text.split()) + text.count("\n") >= experiment.task.config.sample_length


@pytest.mark.parametrize("prompt", ["", " ", "b a", "a\n", "what c "])
def test_text_written_in_pieces_equals_text_sampled_at_once(model, monkeypatch, prompt):
    experiment, variables = model
    task = experiment.task
    monkeypatch.setattr(task.config, "prompt", prompt)
    ids = task.vocabulary.encode(prompt if prompt.strip() else "\n")
    apply = jax.jit(task.model.apply)
    carry = task.model.initialize_carry(1)
    for token in ids[:-1]:
        _, carry = apply(variables, token[None, None], carry)
    key = stream(jax.random.key(task.config.seed), "sample", 0)
    options = {"length": task.config.sample_length, "temperature": task.config.temperature}
    network = StepModel(task.next_logits, variables, carry, ids[-1:])
    sampled = sample(network, key, **options)
    pieces = list(task.write(variables))
    assert "".join(pieces) == task.vocabulary.decode([*ids, *sampled[0].tolist()]) + "\n"
    assert len(pieces) == 1 + task.config.sample_length + 1
    assert all(len(piece.split()) <= 1 for piece in pieces[1:])


def test_unknown_words_of_a_prompt_are_named_and_replaced(model, monkeypatch, capsys):
    experiment, variables = model
    monkeypatch.setattr(experiment.task.config, "prompt", "what c is")
    generate(opened(experiment.task, variables=variables))
    out, err = capsys.readouterr()
    assert out.startswith("<unk> c <unk>")
    message = "'is what' is not in the vocabulary: each such word of the prompt is read as <unk>"
    assert message in err


def test_one_tied_layer_of_another_width_is_refused():
    message = r"config\.tie_embeddings with one layer needs .* 5 and 6"
    with pytest.raises(ConfigError, match=message):
        word_lm.build(word_lm.Config(hidden=6, embedding=5))


def test_weights_that_a_cell_has_not_cannot_be_dropped():
    with pytest.raises(ConfigError, match=r"weight_drop=0.1 needs .* config.cell=min_gru has not"):
        word_lm.Config(cell="min_gru", weight_drop=0.1).check()
    word_lm.Config(cell="lstm_coupled", weight_drop=0.1).check()


def test_a_perplexity_too_large_for_a_float_is_infinite(model):
    experiment, _ = model
    assert experiment.task.summaries({"loss": 800.0})["perplexity"] == math.inf
