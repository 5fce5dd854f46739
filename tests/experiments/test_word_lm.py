"""word_lm: published sizes, softmaxes for large vocabularies, --mode=cache."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import word_lm
from experiments.language import cache
from tests.experiments.opened import opened
from train.cli import parse
from train.config import ConfigError
from train.state import init_state
from train.step import MetricWindow, make_train_step

OTHER = "d e c a a a\nf h g c\n" * 5
TEXT = "a b c d\nb a e\nc c f a b\na g h\nb h a c\n" * 3
SIZE = 6


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that builds the experiment of a small text with given settings."""
    folder = tmp_path_factory.mktemp("words")
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text(OTHER if split == "test" else TEXT)

    def make(**settings):
        config = word_lm.Config(
            dataset=f"words:{folder}",
            cell="rnn",
            hidden=SIZE,
            layers=1,
            embedding=SIZE,
            bptt_length=4,
            batch_size=4,
            min_count=1,
            **settings,
        )
        config.check()
        return word_lm.build(config)

    return make


@pytest.mark.parametrize(
    ("preset", "count"),
    [("zaremba_small", 4_651_600), ("zaremba_medium", 19_775_200), ("awd", 24_210_800)],
)
def test_presets_have_the_published_numbers_of_parameters(preset, count):
    words = ["x", "--workdir=x", f"--config.preset={preset}"]
    config, *_ = parse(word_lm.Config, ("train",), words)
    model = word_lm.network(config, 10_000)
    tokens, carry = jnp.zeros((1, 2), jnp.int32), model.initialize_carry(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens, carry)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count


@pytest.mark.parametrize(
    "settings",
    [
        {"softmax": "adaptive", "tie_embeddings": False, "cutoffs": (3, 5, 1000)},
        {"softmax": "sampled", "tie_embeddings": False, "num_sampled": 20_000},
        {"softmax": "sampled", "tie_embeddings": True, "num_sampled": 20_000},
    ],
    ids=["adaptive", "sampled", "sampled and tied"],
)
def test_training_and_evaluation_report_the_same_nats(build, settings):
    experiment = build(**settings)
    task, batch = experiment.task, experiment.train(0)
    shapes = jax.eval_shape(partial(init_state, experiment, 0), batch)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), shapes.variables
    )
    carry = task.init_carry(batch)

    @jax.jit
    def nats(variables):
        rngs = {"dropout": jax.random.key(0)}
        outputs = (task.apply(variables, batch, carry, train=t, rngs=rngs)[0] for t in (0, 1))
        return [task.means(out, batch) for out in outputs]

    evaluated, trained = nats(variables)
    assert set(evaluated) == set(trained) == {"loss"}
    # 20,000 samples of nine words have an error of about 1 %; clusters are exact
    tolerance = 1e-5 if settings["softmax"] == "adaptive" else 0.02
    loss, expected = trained["loss"].value, evaluated["loss"].value
    assert float(loss) == pytest.approx(float(expected), rel=tolerance)
    assert trained["loss"].weight == evaluated["loss"].weight == 16

    def step(state):
        window = MetricWindow.empty(task, state.variables, batch)
        return make_train_step(experiment)(state, window, batch)

    after, window = jax.eval_shape(step, shapes)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, shapes)
    assert set(window.means) == {"loss", "grad_norm"}


def test_sampled_words_are_a_function_of_the_key_and_used_only_in_training(build):
    task = build(softmax="sampled", num_sampled=3).task
    tokens = jnp.zeros((2, 3), jnp.int32)
    carry = task.model.initialize_carry(2)
    variables = jax.jit(task.model.init)(jax.random.key(0), tokens, carry)

    @jax.jit
    def trained(key):
        rngs = {"dropout": key}
        return task.model.apply(variables, tokens, carry, None, tokens, train=True, rngs=rngs)[0]

    first, again, other = map(trained, map(jax.random.key, (0, 0, 1)))
    assert first.shape == (2, 3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    full = build(softmax="full").task.model
    sampled, expected = (
        jax.jit(model.apply)(variables, tokens, carry) for model in (task.model, full)
    )
    np.testing.assert_array_equal(sampled[0], expected[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"softmax": "adaptive"}, "config.softmax=adaptive needs config.tie_embeddings=False"),
        ({"cutoffs": (5, 3)}, "config.cutoffs must be increasing integers"),
        ({"cutoffs": (2.5,)}, "config.cutoffs must be increasing integers"),
    ],
)
def test_invalid_settings_of_a_softmax_are_refused(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def nats_with_cache(task, variables, text, size, grid):
    """Mean nats of a text without a cache, and [L, K] with one, by an explicit sum over words."""
    (thetas, shares), ids = grid, task.vocabulary.encode(text)
    tokens, carry = ids[None, :-1], task.model.initialize_carry(1)
    states, _ = jax.jit(partial(task.model.apply, method="states"))(variables, tokens, carry)
    logits = jax.jit(partial(task.model.apply, method="logits"))(variables, states)
    log_p = jax.nn.log_softmax(logits)[0]
    h, p = np.asarray(states[0], np.float64), np.exp(np.asarray(log_p, np.float64))
    targets = ids[1:]
    without, nats = 0.0, np.zeros((len(shares), len(thetas)))
    for t, target in enumerate(targets):
        without -= math.log(p[t, target])
        before = range(max(0, t - size), t)
        for row, column in np.ndindex(nats.shape):
            weight = [math.exp(thetas[column] * h[t] @ h[i]) for i in before]
            same = [w for w, i in zip(weight, before, strict=True) if targets[i] == target]
            share = shares[row] if weight else 0.0
            cached = sum(same) / sum(weight) if weight else 0.0
            nats[row, column] -= math.log((1 - share) * p[t, target] + share * cached)
    return without / len(targets), nats / len(targets)


def test_cache_mode_prints_perplexities_of_the_best_on_validation(build, monkeypatch, capsys):
    grid, size = ((0.0, 0.5, 1.5), (0.1, 0.4)), 7
    experiment = build(cache_size=size, cache_thetas=grid[0], cache_shares=grid[1])
    task = experiment.task
    tokens, carry = jnp.zeros((1, 2), jnp.int32), task.model.initialize_carry(1)
    variables = jax.jit(task.model.init)(jax.random.key(0), tokens, carry)
    monkeypatch.setattr(cache, "EVALUATION_WINDOW", 16)  # several windows, the last one shorter
    expected = [nats_with_cache(task, variables, text, size, grid) for text in (TEXT, OTHER)]
    ids = task.vocabulary.encode(TEXT)
    result = cache.cached_nats(task.model, variables, ids, size, grid)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), result, expected[0])

    cache.cache(opened(task, variables=variables, evals=experiment.evals))
    best = np.unravel_index(expected[0][1].argmin(), (2, 3))
    assert expected[1][1].argmin() != expected[0][1].argmin()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["without", "with"]
    names = ("validation", "test")
    for name, line, (without, nats) in zip(names, lines[1:], expected, strict=False):
        assert line.split() == [name, f"{math.exp(without):.2f}", f"{math.exp(nats[best]):.2f}"]
    theta, share = grid[0][best[1]], grid[1][best[0]]
    assert lines[3] == f"cache of 7 words, theta {theta:g}, share {share:g}"


def test_cache_mode_needs_a_grid(build):
    with pytest.raises(ConfigError, match=r"cache_thetas and config\.cache_shares need at least"):
        cache.cache(opened(build(cache_thetas=()).task))
