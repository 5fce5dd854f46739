"""Search with a beam of all labels agrees with enumeration, also with a language model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.ctc.loss import ctc_greedy, ctc_loss
from nets.ctc.prefix_search import ctc_beam_search, rescore
from nets.decoding.step_model import StepModel
from nets.language.recurrent_lm import LanguageModel
from tests.nets.ctc.ctc_paths import log_softmax, totals

T, V, BLANK = 4, 4, 1
LENGTHS = np.array([4, 3, 0])
WIDE = 64  # paths of four steps spell 61 labels


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(5).normal(0, 1.5, (3, T, V)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(logits):
    return [totals(logits[row, :n], BLANK) for row, n in enumerate(LENGTHS)]


def as_dict(result, row):
    """{label: (log_prob, score)} in the order of the result."""
    labels, lengths, log_probs, scores = (np.asarray(leaf[row]) for leaf in result)
    return {
        tuple(label[:n].tolist()): (p, score)
        for label, n, p, score in zip(labels, lengths, log_probs, scores, strict=True)
        if score > -np.inf
    }


def test_a_wide_beam_finds_all_labels_and_their_probabilities(logits, expected):
    poisoned = np.where(np.arange(T)[:, None] < LENGTHS[:, None, None], logits, np.nan)
    result = jax.device_get(ctc_beam_search(poisoned, LENGTHS, beam_size=WIDE, blank_id=BLANK))
    for row, sums in enumerate(expected):
        labels = as_dict(result, row)
        assert labels.keys() == sums.keys()
        order = sorted(sums, key=sums.get, reverse=True)
        assert list(labels) == order
        for label, (log_prob, score) in labels.items():
            assert log_prob == pytest.approx(sums[label], abs=1e-5)
            assert score == log_prob
        rest = np.asarray(result.scores[row, len(sums) :])
        assert (rest == -np.inf).all()
        assert not np.asarray(result.labels[row, len(sums) :]).any()


def test_the_most_probable_label_is_not_that_of_the_best_path():
    """Graves's example: blank 0.6 and a symbol 0.4, twice; P() = 0.36 and P(symbol) = 0.64."""
    odds = np.zeros((3, T, V), np.float32)
    odds[:, :, BLANK], odds[:, :, 2] = 0.6, 0.4
    with np.errstate(divide="ignore"):
        logits = np.log(odds)
    lengths = np.array([2, 2, 2])
    assert ctc_greedy(logits, lengths, BLANK)[1].tolist() == [0, 0, 0]
    result = jax.device_get(ctc_beam_search(logits, lengths, beam_size=WIDE, blank_id=BLANK))
    assert result.labels[0, :2, 0].tolist() == [2, 0]
    assert result.lengths[0, :3].tolist() == [1, 0, 0]
    np.testing.assert_allclose(np.exp(result.log_probs[0, :3]), [0.64, 0.36, 0], rtol=1e-6)


def bigram(table, tokens, carry):
    """Step function of a bigram model whose carry counts the steps."""
    return table[tokens, carry % 2], carry + 1


def test_fusion_with_a_language_model_agrees_with_enumeration(logits, expected):
    """The blank's id begins and ends a text; its tables differ for odd and even steps."""
    table = np.random.default_rng(6).normal(0, 2, (V, 2, V)).astype(np.float32)
    model = StepModel(bigram, table, np.zeros(3, np.int32), BLANK, BLANK)
    weight, bonus = 0.7, 0.3
    options = {"beam_size": WIDE, "blank_id": BLANK, "lm_weight": weight, "length_bonus": bonus}
    result = jax.device_get(ctc_beam_search(logits, LENGTHS, **options, language_model=model))
    log_probs = log_softmax(table)
    for row, sums in enumerate(expected):
        scores = {}
        for label, log_prob in sums.items():
            before = (BLANK, *label)
            steps = [
                log_probs[a, t % 2, b] for t, (a, b) in enumerate(zip(before, label, strict=False))
            ]
            steps.append(log_probs[before[-1], len(label) % 2, BLANK])
            scores[label] = log_prob + weight * sum(steps) + bonus * len(label)
        labels = as_dict(result, row)
        assert list(labels) == sorted(scores, key=scores.get, reverse=True)
        for label, (log_prob, score) in labels.items():
            assert score == pytest.approx(scores[label], abs=1e-4)
            assert log_prob == pytest.approx(sums[label], abs=1e-5)
    assert tuple(result.labels[0, 0].tolist()) != max(expected[0], key=expected[0].get)


def test_a_recurrent_model_of_characters_is_fused():
    """Scores agree with those of a model that reads each text of ids 1 to 3 at once."""
    network = LanguageModel(5, cell="rnn", hidden=4)
    carry = network.initialize_carry(2)
    form = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((2, 1), jnp.int32), carry)
    rng = np.random.default_rng(9)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), form)

    def step_fn(variables, tokens, carry):
        logits, carry = network.apply(variables, tokens[:, None], carry)
        return logits[:, 0], carry

    logits = np.random.default_rng(7).normal(0, 1, (2, 6, 4)).astype(np.float32)
    lengths = np.array([6, 5])
    model = StepModel(step_fn, variables, carry, bos_id=4)
    result = ctc_beam_search(logits, lengths, beam_size=7, language_model=model, lm_weight=0.5)
    result = jax.device_get(result)
    assert (result.lengths > 1).any()

    @jax.jit
    def evaluate(labels, counts):
        logits_of = network.apply(
            variables, jnp.pad(labels, ((0, 0), (1, 0)), constant_values=4), carry
        )[0]
        log_probs = jax.nn.log_softmax(logits_of)[:, :-1]
        lm_score = jnp.take_along_axis(log_probs, labels[..., None], axis=2)
        lm_score = jnp.where(jnp.arange(6) < counts[:, None], lm_score[..., 0], 0)
        return lm_score.sum(axis=1), ctc_loss(logits, lengths, labels, counts).nats

    for k in range(7):
        lm_score, nats = evaluate(result.labels[:, k], result.lengths[:, k])
        own = result.log_probs[:, k]
        np.testing.assert_allclose(result.scores[:, k], own + 0.5 * lm_score, atol=1e-4)
        assert (own <= 1e-5 - nats).all()  # without the paths that the search pruned
    assert (np.diff(result.scores, axis=1) <= 0).all()


def slow_search(log_probs, beam_size, blank):
    """Hannun's search with a dictionary of prefixes."""
    beam = {(): (0.0, -np.inf)}
    for frame in log_probs:
        new = {}

        def add(prefix, blank_log_prob, symbol_log_prob, new=new):
            old = new.get(prefix, (-np.inf, -np.inf))
            new[prefix] = (
                np.logaddexp(old[0], blank_log_prob),
                np.logaddexp(old[1], symbol_log_prob),
            )

        for prefix, (ends_blank, ends_symbol) in beam.items():
            both = np.logaddexp(ends_blank, ends_symbol)
            add(prefix, both + frame[blank], -np.inf)
            for symbol, p in enumerate(frame):
                if symbol != blank:
                    again = prefix[-1:] == (symbol,)
                    if again:
                        add(prefix, -np.inf, ends_symbol + p)
                    add((*prefix, symbol), -np.inf, (ends_blank if again else both) + p)
        best = sorted(new, key=lambda prefix: -np.logaddexp(*new[prefix]))[:beam_size]
        beam = {prefix: new[prefix] for prefix in best}
    return {prefix: np.logaddexp(*parts) for prefix, parts in beam.items()}


def test_a_narrow_beam_agrees_with_a_dictionary_of_prefixes():
    """Prefixes leave the beam and return, which tests all cases of merging."""
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 1, (30, 24, V)).astype(np.float32)
    logits[10:, :, BLANK] += rng.normal(1, 2, (20, 24))
    lengths = rng.integers(8, 25, 30)
    result = ctc_beam_search(logits, lengths, beam_size=6, blank_id=BLANK, n_best=4)
    result = jax.device_get(result)
    for row, n in enumerate(lengths):
        own = slow_search(log_softmax(logits[row, :n]), 6, BLANK)
        labels = as_dict(result, row)
        assert list(labels) == list(own)[:4]
        for label, (log_prob, _) in labels.items():
            assert log_prob == pytest.approx(own[label], abs=1e-4)


def test_a_limit_of_symbols_nan_logits_and_rescoring(logits, expected):
    with_nan = np.where(np.arange(3)[:, None, None] == 1, np.nan, logits)
    result = ctc_beam_search(with_nan, LENGTHS, beam_size=8, blank_id=BLANK, max_labels=1)
    result = jax.device_get(result)
    assert result.labels.shape == (3, 8, 1)
    assert as_dict(result, 0).keys() == {(), (0,), (2,), (3,)}
    assert (result.scores[1] == -np.inf).all()
    assert not result.lengths[1].any()
    assert as_dict(result, 2).keys() == {()}
    added = np.where(result.labels[..., 0] == 3, 100.0, 0.0)
    rescored = jax.device_get(jax.jit(rescore)(result, added))
    assert rescored.labels[0, 0].tolist() == [3]
    assert rescored.scores[0, 0] == pytest.approx(rescored.log_probs[0, 0] + 100)
    assert as_dict(rescored, 0).keys() == as_dict(result, 0).keys()
    assert not as_dict(rescored, 1)


def test_wrong_arguments_are_refused(logits):
    def refused(match, **options):
        with pytest.raises(ValueError, match=match):
            ctc_beam_search(logits, LENGTHS, **{"beam_size": 4, **options})

    refused("n_best must be from 1 to the beam_size 4, got 5", n_best=5)
    refused("n_best must be from 1 to the beam_size 0", beam_size=0)
    refused("max_labels must be at least 1, got 0", max_labels=0)
    refused("blank_id must be from 0 to 3", blank_id=4)
    small = StepModel(bigram, np.zeros((3, 2, 3)), np.zeros(3, np.int32), 0)
    counted = StepModel(bigram, np.zeros((3, 4, 4)), jnp.int32(0), 0)
    refused("the language model has a scalar in its carry", language_model=counted)
    refused(r"shape \(3, 4 or more\), got \(3, 3\)", language_model=small)


def test_a_model_without_weight_changes_nothing_even_where_it_excludes_symbols():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 3)), jnp.float32)
    table = jnp.array([[0.0, 0.0, -jnp.inf]] * 3)
    model = StepModel(
        lambda table, tokens, carry: (table[tokens], carry), table, (), jnp.array([0])
    )
    plain = ctc_beam_search(logits, None, beam_size=4)
    for weight in (0.0, jnp.float32(0)):
        found = ctc_beam_search(logits, None, beam_size=4, language_model=model, lm_weight=weight)
        np.testing.assert_array_equal(found.labels, plain.labels)
        np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-6)


def test_extensions_that_are_left_out_change_nothing():
    """With a limit, here one that no label reaches, all extensions are considered."""
    rng = np.random.default_rng(11)
    logits = rng.normal(0, 2, (40, 13, 9)).astype(np.float32)
    lengths = np.full(40, 12)
    options = {"beam_size": 5, "blank_id": BLANK, "length_bonus": 0.3}
    few = jax.device_get(ctc_beam_search(logits, lengths, **options))
    every = jax.device_get(ctc_beam_search(logits, lengths, **options, max_labels=12))
    np.testing.assert_array_equal(few.labels[..., :12], every.labels)
    np.testing.assert_array_equal(few.scores, every.scores)
