"""Fully convolutional networks: published offsets, upsampling, dense layers as convolutions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.image.backbone import ConvFeatures
from nets.image.dense_crf import CRFasRNN
from nets.image.fcn import (
    FCN,
    Alignment,
    bilinear_kernel,
    dense_as_convolution,
    enlarge,
)


def test_offsets_of_the_published_networks():
    """FCN-32s, 16s and 8s crop at 19, 27 and 31, and the scores of pool4 and pool3 at 5 and 9."""
    at = Alignment().window(3, padding=100)
    pools = []
    for _ in range(5):
        at = at.window(2, stride=2)
        pools.append(at)
    image, score = Alignment(), pools[-1].window(7)
    assert image.crop(score.transposed(64, 32)) == 19
    fused = score.transposed(4, 2)
    assert fused.crop(pools[3]) == 5
    assert image.crop(fused.transposed(32, 16)) == 27
    fused = fused.transposed(4, 2)
    assert fused.crop(pools[2]) == 9
    assert image.crop(fused.transposed(16, 8)) == 31


def test_learned_upsampling_starts_bilinear_and_fades_at_the_ends():
    layer = nn.ConvTranspose(1, (4, 4), (2, 2), use_bias=False, kernel_init=bilinear_kernel)
    line = jnp.array([0.0, 1, 3, 2])
    x = jnp.broadcast_to(line, (1, 4, 4))[..., None]
    y, _ = layer.init_with_output(jax.random.key(0), x)
    resized = enlarge(x, (8, 8))
    np.testing.assert_allclose(y[0, 3, :, 0], [0, 0.25, 0.75, 1.5, 2.5, 2.75, 2.25, 1.5])
    np.testing.assert_allclose(resized[0, 3, :, 0], [0, 0.25, 0.75, 1.5, 2.5, 2.75, 2.25, 2])
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], resized[:, 1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize("factor", [8, 16, 32])
def test_a_ramp_returns_exactly_in_the_interior(factor):
    ramp = jnp.arange(4.0 * factor)[None, None, :, None] + jnp.zeros((1, 4 * factor, 1, 1))
    pooled = nn.avg_pool(ramp, (factor, factor), (factor, factor))
    back = enlarge(pooled, ramp.shape[1:3])
    inner = slice(factor // 2, -(factor // 2))
    np.testing.assert_allclose(back[:, :, inner], ramp[:, :, inner], rtol=1e-6)


def test_a_dense_layer_as_a_convolution_is_the_classifier_at_each_window():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    kernel = rng.normal(size=(2 * 3 * 3, 4)).astype(np.float32)
    found = jax.lax.conv_general_dilated(
        maps,
        dense_as_convolution(kernel, 2, 3),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    for y in range(4):
        for x in range(4):
            window = maps[:, y : y + 2, x : x + 3].reshape(2, -1)
            np.testing.assert_allclose(found[:, y, x], window @ kernel, rtol=1e-5, atol=1e-5)


def small(stride, **options):
    return FCN(ConvFeatures((2, 2, 3, 4, 5)), 3, stride, hidden=4, **options)


@pytest.mark.parametrize(("upsampling", "stride"), [("bilinear", 4), ("learned", 8)])
def test_a_finer_network_begins_as_the_coarser_one(upsampling, stride):
    """Its skips are zero: the coarsest scores are enlarged by 2 for each, then by the stride."""
    images = jax.random.uniform(jax.random.key(0), (1, 64, 96, 3))
    model = small(stride, upsampling=upsampling)
    variables = jax.jit(model.init)(jax.random.key(1), images)
    found, state = jax.jit(partial(model.apply, capture_intermediates=True))(variables, images)
    (x,) = state["intermediates"]["score32"]["__call__"]
    for _ in range((32 // stride).bit_length() - 1):
        if upsampling == "learned":
            layer = nn.ConvTranspose(3, (4, 4), (2, 2), use_bias=False)
            x = layer.apply({"params": {"kernel": bilinear_kernel(None, (4, 4, 3, 3))}}, x)
        else:
            x = enlarge(x, (2 * x.shape[1], 2 * x.shape[2]))
    np.testing.assert_allclose(found, enlarge(x, (64, 96)), atol=1e-5)
    assert float(jnp.abs(x).max()) > 0.1


class Pools(nn.Module):
    """Means of the pixels at strides 2 to 32."""

    def __call__(self, x, train=False):
        return tuple(nn.avg_pool(x, (k, k), (k, k)) for k in (2, 4, 8, 16, 32))


@pytest.mark.parametrize("standardize", [True, False])
def test_a_network_that_standardizes_does_not_see_brightness_and_tint(standardize):
    images = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
    model = FCN(Pools(), 3, 32, hidden=4, standardize=standardize)
    logits, variables = model.init_with_output(jax.random.key(1), images)
    other = model.apply(variables, 0.1 + jnp.array([0.5, 0.7, 0.4]) * images)
    assert np.allclose(logits, other, atol=1e-4) is standardize
    assert np.isfinite(model.apply(variables, 0 * images + 0.3)).all()


def test_images_of_any_size_have_an_answer_for_every_pixel():
    model = small(16)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    for shape in ((1, 1, 1, 3), (2, 45, 70, 3), (0, 32, 64, 3)):
        out = jax.eval_shape(model.apply, variables, jnp.zeros(shape))
        assert out.shape == (*shape[:3], 3)
    with pytest.raises(ValueError, match="stride must be one of"):
        small(2).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_without_messages_the_random_field_returns_the_network():
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
    crf = CRFasRNN(iterations=2, radius=1, kernel_weights=(0.0, 0.0))
    model = small(8, crf=crf)
    variables = jax.jit(model.init)(jax.random.key(1), images)
    # the same paths of parameters
    plain, found = jax.jit(lambda *inputs: [net.apply(*inputs) for net in (small(8), model)])(
        variables, images
    )
    np.testing.assert_allclose(found, nn.log_softmax(plain), atol=1e-5)
    steps = jax.eval_shape(partial(model.apply, method="iterations"), variables, images)
    assert steps.shape == (2, 3, 32, 32, 3)
    with pytest.raises(ValueError, match="no random field"):
        small(8).apply(variables, images, method="iterations")
