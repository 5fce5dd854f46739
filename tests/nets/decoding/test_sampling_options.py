"""Options of sampling that are out of range, traced, or different for each row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nets.ctc.prefix_search import ctc_beam_search
from nets.decoding.beam import beam_search
from nets.decoding.exact import exact_search
from nets.decoding.sampling import greedy, keep_top_p, sample
from nets.decoding.scored import sample_scored
from nets.decoding.step_model import StepModel
from tests.nets.decoding.test_sampling import V, markov, random_table, softmax


@pytest.mark.parametrize("eos_id", [-1, V, 99])
def test_an_end_outside_the_vocabulary_is_refused_everywhere(eos_id):
    model = StepModel(markov, random_table(V, V), (), jnp.array([1]), eos_id)
    key, said = jax.random.key(0), rf"eos_id is {eos_id}; it must be None or from 0 to 3"
    for run in (
        lambda: greedy(model, max_length=3),
        lambda: sample(model, key, length=3),
        lambda: beam_search(model, beam_size=2, max_length=3),
        lambda: exact_search(model, max_length=3),
        lambda: ctc_beam_search(jnp.zeros((1, 2, 3)), [2], beam_size=2, language_model=model),
    ):
        with pytest.raises(ValueError, match=said):
            run()


def test_temperatures_of_rows_scale_the_rows_not_the_vocabulary():
    """With as many rows as symbols: row 2 is greedy, row 3 nearly uniform."""
    table, key = random_table(V, V), jax.random.key(1)
    first = jnp.array([0, 1, 2, 2], jnp.int32)
    model = StepModel(markov, table, (), first)
    heat = jnp.array([1.0, 0.5, 0.0, 1e6])
    draw = jax.vmap(lambda key: sample(model, key, length=1, temperature=heat)[:, 0])
    drawn = np.asarray(jax.jit(draw)(jax.random.split(key, 300)))
    assert (drawn[:, 2] == int(table[2].argmax())).all()
    for row in (0, 1, 3):
        expected = softmax(np.float64(table[first[row]]) / float(heat[row]))
        counts = np.bincount(drawn[:, row], minlength=V)
        assert stats.chisquare(counts, 300 * expected).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), [1.0, -0.5]])
def test_negative_temperatures_are_refused(temperature):
    model = StepModel(markov, random_table(V, V), (), jnp.array([0, 1]))
    with pytest.raises(ValueError, match=r"temperature is .*it must be at least 0"):
        sample(model, jax.random.key(0), length=2, temperature=temperature)
    with pytest.raises(ValueError, match=r"one for each of the 2 rows, got shape \(3,\)"):
        sample(model, jax.random.key(0), length=2, temperature=jnp.ones(3))


def test_traced_options_are_those_of_the_values():
    model = StepModel(markov, random_table(V, V), (), jnp.array([0, 1]))

    @jax.jit
    def traced(top_p, min_p, temperature):
        options = {"top_p": top_p, "min_p": min_p, "temperature": temperature}
        return sample(model, jax.random.key(0), length=4, **options)

    expected = sample(model, jax.random.key(0), length=4, top_p=0.8, min_p=0.1, temperature=0.7)
    np.testing.assert_array_equal(traced(0.8, 0.1, 0.7), expected)


def test_all_tokens_stay_at_p_1():
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 2, 50_000), jnp.float32)
    assert np.isfinite(jax.jit(lambda a: keep_top_p(a, 1.0))(logits)).all()


@pytest.mark.parametrize("eos_id", [None, 0, 2])
def test_scored_samples_are_those_of_sample_with_the_probabilities_of_the_model(eos_id):
    table, first = random_table(V, V), np.array([0, 1, 3])
    model, key = StepModel(markov, table, (), jnp.asarray(first), eos_id), jax.random.key(2)
    options = {"length": 6, "temperature": 0.7, "top_k": 3}
    tokens, log_probs, lengths = jax.device_get(sample_scored(model, key, **options))
    np.testing.assert_array_equal(tokens, sample(model, key, **options))
    for row, length in enumerate(lengths):
        written = tokens[row].tolist()
        assert length == (written.index(eos_id) + 1 if eos_id in written else 6)
        steps = zip([first[row], *written], written[:length], strict=False)
        expected = [np.log(softmax(np.float64(table[a]))[b]) for a, b in steps]
        np.testing.assert_allclose(log_probs[row], [*expected, *[0] * (6 - length)], atol=1e-5)
