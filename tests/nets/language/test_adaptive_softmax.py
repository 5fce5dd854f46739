"""Adaptive softmax: the paper's distribution, and exact training on each target's cluster only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.language.adaptive_softmax import CHUNKS, AdaptiveSoftmax

V, D, CUTOFFS = 23, 16, (5, 11)
SHAPE = (3, 10)  # 30 rows, which CHUNKS does not divide


@pytest.fixture(scope="module")
def setting():
    """Module, random variables and states."""
    rng = np.random.default_rng(0)
    module = AdaptiveSoftmax(V, CUTOFFS)
    x = jnp.asarray(rng.normal(size=(*SHAPE, D)), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.7, s.shape), s.dtype), shapes)
    return module, variables, x


@pytest.fixture(scope="module")
def both(setting):
    """(log P, gradient) of weighted targets, from the whole distribution and from targets only."""
    module, _, _ = setting

    def whole(variables, x, targets, weights):
        logs = module.apply(variables, x)
        log_p = jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
        return (weights * log_p).sum(), log_p

    def alone(variables, x, targets, weights):
        log_p = module.apply(variables, x, targets)
        return (weights * log_p).sum(), log_p

    return [jax.jit(jax.value_and_grad(run, (0, 1), has_aux=True)) for run in (whole, alone)]


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def test_probabilities_match_the_paper_and_sum_to_one(setting):
    module, variables, x = setting
    probabilities = np.exp(jax.jit(module.apply)(variables, x))
    p = {name: np.asarray(leaf, np.float64) for name, leaf in variables["params"].items()}
    widths = [p["projection_0"].shape, p["projection_1"].shape]
    assert widths == [(D, D // 4), (D, D // 16)]
    x = np.asarray(x, np.float64)
    head = softmax(x @ p["kernel"] + p["bias"])
    for word in range(V):
        if word < 5:
            expected = head[..., word]
        else:
            i, first = (0, 5) if word < 11 else (1, 11)
            tail = softmax(x @ p[f"projection_{i}"] @ p[f"kernel_{i}"] + p[f"bias_{i}"])
            expected = head[..., 5 + i] * tail[..., word - first]
        np.testing.assert_allclose(probabilities[..., word], expected, rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "ids",
    [range(V), range(5), range(5, 11), range(11, V), [4, 5, 10, 11, V - 1]],
    ids=["all", "head only", "first cluster only", "last cluster only", "bounds"],
)
def test_targets_only_have_the_same_log_p_and_gradient(setting, both, ids):
    _, variables, x = setting
    rng = np.random.default_rng(1)
    targets = jnp.asarray(rng.choice(ids, SHAPE), jnp.int32)
    weights = jnp.asarray(rng.normal(size=SHAPE), jnp.float32)
    whole, alone = (run(variables, x, targets, weights) for run in both)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, alone)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(alone[1])) > 0.1


def test_without_cutoffs_it_equals_the_softmax_of_a_dense_layer():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, D)), jnp.float32)
    dense, module = nn.Dense(V), AdaptiveSoftmax(V)
    variables, own = (jax.jit(net.init)(jax.random.key(3), x) for net in (dense, module))
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)
    expected = jax.jit(lambda v: jax.nn.log_softmax(dense.apply(v, x)))(variables)
    run = jax.jit(module.apply)
    np.testing.assert_array_equal(run(variables, x), expected)
    targets = np.array([0, 7, V - 1, 3])
    log_p = run(variables, x, targets)
    np.testing.assert_array_equal(log_p, np.asarray(expected)[np.arange(4), targets])


def test_no_product_in_training_combines_all_rows_with_a_cluster(setting):
    module, variables, x = setting
    targets = jnp.zeros(SHAPE, jnp.int32)

    def loss(variables, targets):
        return module.apply(variables, x, targets).sum()

    text = jax.jit(jax.grad(loss)).lower(variables, targets).as_text()
    rows = -(-x[..., 0].size // CHUNKS)
    assert f"tensor<{rows}x{V - 11}xf32>" in text
    for size in (6, V - 11):  # words of the clusters
        assert f"tensor<{x[..., 0].size}x{size}xf32>" not in text
        assert f"tensor<3x10x{size}xf32>" not in text


@pytest.mark.parametrize("cutoffs", [(5, 5), (7, 3), (0, 4), (4, V)])
def test_cutoffs_that_do_not_increase_below_the_vocabulary_are_rejected(cutoffs):
    with pytest.raises(ValueError, match=f"between 0 and vocabulary {V}, got "):
        AdaptiveSoftmax(V, cutoffs).init(jax.random.key(0), jnp.zeros((2, D)))
