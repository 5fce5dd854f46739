"""Sentence classifier: each pooling against numpy, invariance to padding, evidence."""

import jax
import numpy as np
import pytest

from nets.recurrent.stack import DeepRecurrent
from nets.sentence.classifier import POOLINGS, SentenceClassifier, evidence
from nets.sentence.encoder import SentenceEncoder
from tests.nets.recurrent.networks import noise_like, quick_jit

B, T, WORDS, CLASSES, H = 4, 5, 9, 3, 2
LENGTHS = np.array([5, 3, 1, 0], np.int32)
VALID = np.arange(T) < LENGTHS[:, None]
WORD_IDS = np.where(VALID, np.random.default_rng(0).integers(2, WORDS, (B, T)), 0).astype(np.int32)


def classifier(pooling, **core):
    core = DeepRecurrent(**{"hidden": H, "cell": "rnn", **core})
    return SentenceClassifier(SentenceEncoder(core, WORDS, 2), CLASSES, pooling)


def variables_of(net):
    shapes = jax.eval_shape(net.init, jax.random.key(0), WORD_IDS, None, LENGTHS)
    return noise_like(shapes, 1)


def pooled(params, pooling, h):
    """Pooled vector of the states [n, 2 H] of a sentence without padding."""
    if not len(h):
        return np.zeros(2 * H)
    if pooling == "last":
        return np.concatenate([h[-1, :H], h[0, H:]])
    if pooling == "attention":
        keys = np.tanh(h @ params["key"]["kernel"] + params["key"]["bias"])
        weights = np.exp(keys @ params["energy"]["kernel"])
        return (weights * h).sum(axis=0) / weights.sum()
    return h.max(axis=0) if pooling == "max" else h.mean(axis=0)


def test_each_pooling_matches_its_equation():
    h = np.random.default_rng(2).normal(size=(B, T, 2 * H)).astype(np.float32) * VALID[..., None]
    variables = {pooling: variables_of(classifier(pooling)) for pooling in POOLINGS}

    @quick_jit
    def run(h):
        return {
            pooling: classifier(pooling).apply(v, h, LENGTHS, method="pool")
            for pooling, v in variables.items()
        }

    for pooling, output in run(h).items():
        for row, length in enumerate(LENGTHS):
            expected = pooled(variables[pooling]["params"], pooling, h[row, :length])
            np.testing.assert_allclose(output[row], expected, rtol=1e-5, atol=1e-6, err_msg=pooling)


@pytest.mark.parametrize(("directions", "end"), [("forward", "last"), ("backward", "first")])
def test_one_direction_is_pooled_at_the_word_it_reads_last(directions, end):
    h = np.random.default_rng(2).normal(size=(B, T, H)).astype(np.float32) * VALID[..., None]
    net = classifier("last", directions=directions)
    run = quick_jit(lambda variables, h: net.apply(variables, h, LENGTHS, method="pool"))
    index = 0 if end == "first" else np.maximum(LENGTHS - 1, 0)
    np.testing.assert_array_equal(run(variables_of(net), h), h[np.arange(B), index])


def test_padding_affects_neither_logits_nor_evidence():
    net = classifier("attention")
    variables = variables_of(net)
    run = quick_jit(lambda words: evidence(net, variables, words, None, LENGTHS))
    (logits, contributions), padded = run(WORD_IDS), run(np.where(VALID, WORD_IDS, 7))
    np.testing.assert_array_equal(logits, padded[0])
    np.testing.assert_array_equal(contributions, padded[1])
    assert np.asarray(contributions != 0).tolist() == VALID.tolist()
    bias = variables["params"]["output"]["bias"]
    np.testing.assert_allclose(logits[3], bias, rtol=1e-6)
    plain = quick_jit(lambda words: net.apply(variables, words, None, LENGTHS))(WORD_IDS)
    np.testing.assert_array_equal(plain, logits)


def test_evidence_adds_up_to_the_margin_of_a_linear_network():
    """With all rectifiers active, zero biases and mean pooling, the network is linear."""
    net = classifier("mean", cell="relu")
    variables = jax.tree.map(np.abs, variables_of(net))
    for path in (("forward", "cell"), ("backward", "cell")):
        layer = variables["params"]["encoder"]["core"]["stack"]["layers_0"]
        layer[path[0]][path[1]]["bias"] *= 0
    run = quick_jit(lambda variables: evidence(net, variables, WORD_IDS, None, LENGTHS))
    logits, contributions = run(variables)
    bias = variables["params"]["output"]["bias"]
    best = logits.argmax(axis=1)
    expected = logits.max(axis=1) - logits.mean(axis=1) - (bias[best] - bias.mean())
    np.testing.assert_allclose(contributions.sum(axis=1), expected, rtol=1e-4, atol=1e-5)


def test_unknown_poolings_are_rejected():
    with pytest.raises(ValueError, match=r"pooling must be one of last, mean, .* got 'sum'"):
        variables_of(classifier("sum"))
