import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from nets.image.dense_crf import (
    CRFasRNN,
    Kernels,
    filter_gaussian,
    filter_window,
    window_weights,
)

KERNELS = Kernels(spatial=1.5, position=3.0, colour=0.4)


def example(height=4, width=3, labels=3):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, height, width, labels)).astype(np.float32)
    image = rng.random((1, height, width, 2)).astype(np.float32)
    params = {
        "weights": rng.uniform(0.5, 2, (2, labels)).astype(np.float32),
        "compatibility": rng.normal(size=(labels, labels)).astype(np.float32),
    }
    return logits, image, {"params": params}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def plain(logits, image, params, *, iterations, radius=10**6, damping=0.0):
    """Loops over pixels in float64."""
    logits, image = logits[0].astype(float), image[0].astype(float)
    weights, compatibility = (params["params"][n] for n in ("weights", "compatibility"))
    height, width, labels = logits.shape
    pixels = list(itertools.product(range(height), range(width)))
    q = softmax(logits)
    steps = [q]
    for _ in range(iterations):
        new = np.zeros_like(q)
        for i in pixels:
            total, norm = np.zeros((2, labels)), np.zeros(2)
            for j in pixels:
                apart = (i[0] - j[0]) ** 2 + (i[1] - j[1]) ** 2
                if i == j or max(abs(i[0] - j[0]), abs(i[1] - j[1])) > radius:
                    continue
                colour = ((image[i] - image[j]) ** 2).sum()
                k = np.exp(-apart / (2 * 1.5**2)), np.exp(-apart / 18 - colour / (2 * 0.4**2))
                for m in range(2):
                    total[m] += k[m] * q[j]
                    norm[m] += k[m]
            message = (weights * total / norm[:, None]).sum(axis=0)
            new[i] = softmax(logits[i] - compatibility @ message)
        q = (1 - damping) * new + damping * q
        steps.append(q)
    return np.stack(steps)


@pytest.mark.parametrize(("radius", "damping"), [(None, 0.0), (None, 0.3), (1, 0.0)])
def test_equals_loops_over_pixels(radius, damping):
    logits, image, params = example()
    model = CRFasRNN(KERNELS, iterations=3, radius=radius, damping=damping)
    result = np.exp(jax.jit(model.apply)(params, logits, image))
    expected = plain(logits, image, params, iterations=3, radius=radius or 10**6, damping=damping)
    np.testing.assert_allclose(result[0], expected, rtol=1e-4)


@pytest.mark.parametrize(("size", "radius", "deviation"), [((5, 7), 2, 1.5), ((1, 3), 4, 0.1)])
def test_one_axis_at_a_time_gives_the_sums_of_the_window(size, radius, deviation):
    q = np.random.default_rng(0).random((*size, 2)).astype(np.float32)

    @jax.jit
    def run(q):
        place = jnp.stack(jnp.indices(size), axis=-1) / deviation
        expected = filter_window(window_weights(place, radius), q)
        return filter_gaussian(q, deviation, radius), expected

    np.testing.assert_allclose(*run(q), rtol=1e-5)


def test_blocks_of_pixels_do_not_matter(monkeypatch):
    logits, image, params = example()
    model = CRFasRNN(KERNELS, iterations=2)

    def run():  # traces anew in each call
        return jax.jit(partial(model.apply))(params, logits, image)

    whole = run()
    monkeypatch.setattr("nets.image.dense_crf.BLOCK", 5)
    np.testing.assert_allclose(run(), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("radius", [None, 1])
def test_gradient_is_the_numerical_one(radius):
    logits, image, params = example(2, 3, 2)
    model = CRFasRNN(KERNELS, iterations=2, damping=0.2, radius=radius)

    def loss(params, logits, image):
        return model.apply(params, logits, image)[0, -1, ..., 0].sum()

    given = params, logits, image
    check_grads(jax.jit(loss), given, order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_potts_is_minus_the_identity_and_labels_can_be_exchanged():
    logits, image, _ = example()
    model = CRFasRNN(KERNELS, iterations=3)
    params, apply = jax.jit(model.init)(jax.random.key(0), logits, image), jax.jit(model.apply)
    np.testing.assert_array_equal(params["params"]["compatibility"], 1 - np.eye(3))
    result = apply(params, logits, image)
    minus = {"params": {**params["params"], "compatibility": -jnp.eye(3)}}
    np.testing.assert_allclose(apply(minus, logits, image), result, rtol=1e-4, atol=1e-5)
    order = [2, 0, 1]
    exchanged = apply(params, logits[..., order], image)
    np.testing.assert_allclose(exchanged, result[..., order], rtol=1e-4, atol=1e-5)


def two_pixels(damping, iterations):
    """Probability of label 0 of the first of two pixels that disagree slightly."""
    model = CRFasRNN(KERNELS, (6.0, 0.0), iterations, damping)
    logits = jnp.array([[[[0.1, 0.0], [-0.1, 0.0]]]])
    image = jnp.zeros((1, 1, 2, 3))
    result, _ = jax.jit(model.init_with_output)(jax.random.key(0), logits, image)
    return np.exp(np.asarray(result)[0, :, 0, 0, 0])


def test_updates_in_parallel_oscillate_and_damped_ones_do_not():
    np.testing.assert_allclose(two_pixels(0.0, 4), [0.525, 0.45, 0.668, 0.129, 0.99], atol=1e-3)
    changes = np.abs(np.diff(two_pixels(0.7, 60)))
    assert changes[-1] < 1e-3


def test_one_pixel_keeps_its_logits_and_other_sizes_are_refused():
    logits = jnp.array([[[[0.5, 0.0, -1.0]]]])
    model = CRFasRNN(KERNELS)
    image = jnp.zeros((1, 1, 1, 3))
    result, params = jax.jit(model.init_with_output)(jax.random.key(0), logits, image)
    np.testing.assert_allclose(result[0, -1], jax.nn.log_softmax(logits[0]), rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(1, 1, 1, 3\) and \(1, 2, 1, 3\)"):
        model.apply(params, logits, jnp.zeros((1, 2, 1, 3)))


def test_labels_in_place_of_logits_are_refused():
    image = jnp.zeros((2, 8, 9, 3))
    with pytest.raises(ValueError, match=r"got \(2, 8, 9\) and \(2, 8, 9, 3\)"):
        CRFasRNN().apply({}, jnp.zeros((2, 8, 9), int), image)
