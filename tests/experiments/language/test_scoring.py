"""--mode=dynamic and --mode=calibrate: losses in numpy, chosen rate and temperature."""

import math
from dataclasses import fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.text.streams import EvaluationWindows
from experiments import word_lm
from experiments.language.calibration import TEMPERATURES, calibrate
from experiments.language.dynamic import REGULARISERS, DynamicEvaluator, dynamic
from nets.language.recurrent_lm import LanguageModel
from tests.experiments.opened import opened
from train.config import ConfigError
from train.evaluate import Evaluator, Predictor
from train.placement import Placement

WINDOW, DECAY = 5, 0.05
VALID = "a b c d\nb a e\nc c f a b\na g h\nb h a c\n"
TEST = "d e c a a a\nf h g c\n" * 2
DROPPED = {
    "dropout": 0.5,
    "embedding_dropout": 0.5,
    "word_dropout": 0.5,
    "weight_drop": 0.5,
    "activation_reg": 2.0,
    "temporal_activation_reg": 2.0,
}
MODEL_NAMES = {"activation_reg": "activation_penalty", "temporal_activation_reg": "change_penalty"}
SOFTMAXES = {
    "sampled": {**DROPPED, "softmax": "sampled", "num_sampled": 2},
    "adaptive": {"softmax": "adaptive", "cutoffs": (3, 5)},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that makes the task of a small word model, and a random predictor."""
    folder = tmp_path_factory.mktemp("words")
    for split, text in {"train": VALID + TEST, "valid": VALID, "test": TEST}.items():
        (folder / f"{split}.txt").write_text(text)

    def make_model(**settings):
        config = word_lm.Config(
            dataset=f"words:{folder}",
            cell="gru",
            hidden=4,
            layers=2,
            embedding=3,
            tie_embeddings=False,
            bptt_length=4,
            batch_size=4,
            min_count=1,
            dynamic_window=WINDOW,
            dynamic_decay=DECAY,
            **settings,
        )
        config.check()
        task = word_lm.build(config).task
        carry = task.model.initialize_carry(1)
        shapes = jax.eval_shape(
            partial(task.model.init, jax.random.key(0)), jnp.zeros((1, 2), jnp.int32), carry
        )
        rng = np.random.default_rng(0)
        variables = jax.tree.map(
            lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), shapes
        )
        return task, Predictor(variables, Evaluator(task, Placement(1, jax.devices()[:1])))

    return make_model


def run_of(task, predict, texts=None):
    """Run with held-out texts by name."""
    texts = texts or {"validation": VALID, "test": TEST}
    evals = {
        name: EvaluationWindows(task.vocabulary.encode(text), 1, 8) for name, text in texts.items()
    }
    return opened(task, predict, evals=evals)


def gradient_of(task):
    """Gradient of the mean nats of a window without regularisers; the sum of nats and the carry."""
    model = task.model.clone(**dict.fromkeys((MODEL_NAMES.get(n, n) for n in DROPPED), 0.0))

    @jax.jit
    def gradient(params, carry, tokens, targets):
        def loss(params):
            logits, after = model.apply({"params": params}, tokens[None], carry)
            nats = optax.softmax_cross_entropy_with_integer_labels(logits[0], targets)
            return nats.mean(), (nats.sum(), after)

        return jax.value_and_grad(loss, has_aux=True)(params)

    return gradient


def nats_of_numpy(task, gradient, variables, ids, rate):
    """Mean nats, with float64 parameters that are updated in numpy after each window."""
    start, shape = jax.tree.flatten(variables["params"])
    start = [np.asarray(leaf, np.float64) for leaf in start]
    now, squares = [leaf.copy() for leaf in start], [[] for _ in start]
    total, carry = 0.0, task.model.initialize_carry(1)
    for begin in range(0, len(ids) - 1, WINDOW):
        piece = ids[begin : begin + WINDOW + 1]
        params = shape.unflatten([jnp.asarray(leaf, jnp.float32) for leaf in now])
        (_, (nats, carry)), gradients = gradient(params, carry, piece[:-1], piece[1:])
        total += float(nats)
        leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(gradients)]
        for i, g in enumerate(leaves):
            squares[i].insert(0, g**2)
            weights = 0.999 ** np.arange(len(squares[i]))
            mean = np.tensordot(weights / weights.sum(), squares[i], 1)
            now[i] += DECAY * (start[i] - now[i]) - rate * g / np.sqrt(mean + 1e-8)
    return total / (len(ids) - 1)


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_each_window_is_scored_before_the_update_on_it(make, softmax):
    task, predict = make(**SOFTMAXES[softmax])
    ids = task.vocabulary.encode(TEST)
    assert (len(ids) - 1) % WINDOW  # the last window is shorter
    evaluate = DynamicEvaluator(task, WINDOW, DECAY)
    losses = {r: evaluate(predict.variables, ids, r, "")["loss"] for r in (0.0, 0.05)}
    gradient = gradient_of(task)
    for rate, nats in losses.items():
        expected = nats_of_numpy(task, gradient, predict.variables, ids, rate)
        assert nats == pytest.approx(expected, rel=1e-4)
    assert losses[0.05] < losses[0.0] - 0.01


def test_every_regulariser_is_off():
    numbers = {field.name for field in fields(LanguageModel) if field.type is float}
    assert numbers - {"input_scale", "init_range"} == set(REGULARISERS)
    assert {MODEL_NAMES.get(name, name) for name in DROPPED} == set(REGULARISERS)


def test_the_rate_is_the_best_on_validation_and_the_network_is_unchanged(make, capsys):
    rates = (0.05, 0.003)
    task, predict = make(dynamic_rates=rates)
    before = jax.device_get(predict.variables)
    dynamic(run_of(task, predict))
    jax.tree.map(np.testing.assert_array_equal, predict.variables, before)

    evaluate = DynamicEvaluator(task, WINDOW, DECAY)
    texts = {"validation": VALID, "test": TEST}
    ids = {name: task.vocabulary.encode(text) for name, text in texts.items()}
    losses = {
        name: [evaluate(predict.variables, words, rate, "")["loss"] for rate in (0.0, *rates)]
        for name, words in ids.items()
    }
    assert losses["validation"][2] < losses["validation"][1]
    assert losses["test"][1] < losses["test"][2]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for i, (name, nats) in enumerate(losses.items()):
        for line, kind, loss in zip(lines[2 * i :], ("static", "dynamic"), nats[::2], strict=False):
            assert line[:3] == [name, kind, "loss"]
            assert float(line[3]) == pytest.approx(loss, abs=1e-4)
            assert line[4::2] == ["bits_per_word", "perplexity"]
            assert float(line[7]) == pytest.approx(math.exp(loss), abs=1e-3)
    assert " ".join(lines[4]) == (
        "dynamic: rate 0.003, chosen on the first text; "
        "decay 0.05 towards the trained weights after every 5 words"
    )
    assert math.isinf(evaluate(predict.variables, ids["test"], math.nan, "")["perplexity"])
    assert evaluate.step._cache_size() == 1  # one program for all rates and texts


def test_a_window_longer_than_the_text_has_no_effect(make):
    task, predict = make()
    ids = task.vocabulary.encode(TEST)
    losses = [
        DynamicEvaluator(task, 10**12, DECAY)(predict.variables, ids, rate, "")["loss"]
        for rate in (0.0, 0.05)
    ]
    assert losses[0] == losses[1]


def test_the_temperature_is_the_best_on_the_first_text(make, capsys):
    task, predict = make()
    texts = {"first": TEST, "second": VALID}
    variables = jax.tree.map(lambda leaf: 0.3 * leaf, predict.variables)
    calibrate(run_of(task, replace(predict, variables=variables), texts))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    apply, carry = jax.jit(task.model.apply), task.model.initialize_carry(1)
    ids_of = {text: task.vocabulary.encode(text) for text in texts.values()}
    logits_of = {
        text: np.asarray(apply(variables, ids[None, :-1], carry)[0][0], np.float64)
        for text, ids in ids_of.items()
    }

    def nats(text, temperature):
        ids, logits = ids_of[text], logits_of[text] / temperature
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return -log_p[np.arange(len(ids) - 1), ids[1:]].mean()

    best, other = (min(TEMPERATURES.values(), key=partial(nats, text)) for text in texts.values())
    assert 0.8 < best < 1
    assert other > 1
    for i, (name, text) in enumerate(texts.items()):
        for line, kind, temperature in zip(
            lines[2 * i :], ("static", "calibrated"), (1, best), strict=False
        ):
            assert line[:3] == [name, kind, "loss"]
            assert float(line[3]) == pytest.approx(nats(text, temperature), abs=1e-4)
            assert float(line[7]) == pytest.approx(math.exp(float(line[3])), rel=1e-3)
    assert " ".join(lines[4]) == f"calibrated: temperature {best:g}, chosen on the first text"


def test_dynamic_evaluation_needs_a_rate(make):
    with pytest.raises(ConfigError, match=r"config\.dynamic_rates needs at least one value"):
        dynamic(run_of(*make(dynamic_rates=())))
