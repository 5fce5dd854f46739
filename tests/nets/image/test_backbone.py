"""Feature maps of whole images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.image.backbone import ConvFeatures, PooledClassifier


def test_maps_move_with_the_image_by_their_stride_and_have_no_shift():
    """A mirrored image has the mirrored maps when every kernel is symmetric: no cell is off."""
    model = ConvFeatures(widths=(2, 3, 4), blocks=1)
    image = jax.random.uniform(jax.random.key(0), (1, 32, 48, 3))
    variables = jax.jit(model.init)(jax.random.key(1), image)
    symmetric = jax.tree.map(
        lambda x: (x + x[:, ::-1]) / 2 if x.ndim == 4 else x + 0.3, variables["params"]
    )
    variables = variables | {"params": symmetric}
    apply = jax.jit(model.apply)
    maps, mirrored = (apply(variables, x) for x in (image, image[:, :, ::-1]))
    for a, b in zip(maps, mirrored, strict=True):
        assert float(jnp.abs(a).max()) > 0
        np.testing.assert_allclose(a, b[:, :, ::-1], atol=1e-5)


def test_sides_are_rounded_down_and_too_small_images_refused():
    model = ConvFeatures(widths=(2, 2, 2))
    shapes = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((0, 13, 9, 3)))[0]
    assert [x.shape for x in shapes] == [(0, 6, 4, 2), (0, 3, 2, 2), (0, 1, 1, 2)]
    with pytest.raises(ValueError, match=r"8 or more.*\(1, 7, 9, 3\)"):
        model.init(jax.random.key(0), jnp.zeros((1, 7, 9, 3)))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_backbone_has_no_gradient_and_fixed_statistics(frozen):
    model = PooledClassifier(ConvFeatures(widths=(2, 3)), classes=2, frozen=frozen)
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 3))
    variables = jax.jit(model.init)(jax.random.key(1), images)

    def loss(params):
        logits, changed = model.apply(
            variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )
        return (logits[:, 0] ** 2).sum(), (logits, changed)

    gradient, (logits, changed) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(changed), jax.tree.leaves(variables["batch_stats"]), strict=True
        )
    ]
    norms = [float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient["backbone"])]
    assert any(moved) == (max(norms) > 0) == (not frozen)
    assert float(jnp.abs(gradient["output"]["kernel"]).max()) > 0
    if frozen:  # the mean of the last map, and a dense layer
        backbone = {
            name: tree["backbone"] for name, tree in variables.items() if "backbone" in tree
        }
        maps = jax.jit(ConvFeatures(widths=(2, 3)).apply)(backbone, images)
        mean = np.mean(maps[-1], axis=(1, 2))
        expected = mean @ variables["params"]["output"]["kernel"]
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
