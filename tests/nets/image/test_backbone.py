"""Feature maps of whole images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.image.backbone import ConvFeatures


def test_maps_move_with_the_image_by_their_stride_and_have_no_shift():
    """A mirrored image has the mirrored maps when every kernel is symmetric: no cell is off."""
    model = ConvFeatures(widths=(2, 3, 4), blocks=1)
    image = jax.random.uniform(jax.random.key(0), (1, 32, 48, 3))
    variables = model.init(jax.random.key(1), image)
    symmetric = jax.tree.map(
        lambda x: (x + x[:, ::-1]) / 2 if x.ndim == 4 else x + 0.3, variables["params"]
    )
    variables = variables | {"params": symmetric}
    maps, mirrored = (model.apply(variables, x) for x in (image, image[:, :, ::-1]))
    for a, b in zip(maps, mirrored, strict=True):
        assert float(jnp.abs(a).max()) > 0
        np.testing.assert_allclose(a, b[:, :, ::-1], atol=1e-5)


def test_sides_are_rounded_down_and_too_small_images_refused():
    model = ConvFeatures(widths=(2, 2, 2))
    shapes = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((0, 13, 9, 3)))[0]
    assert [x.shape for x in shapes] == [(0, 6, 4, 2), (0, 3, 2, 2), (0, 1, 1, 2)]
    with pytest.raises(ValueError, match=r"8 or more.*\(1, 7, 9, 3\)"):
        model.init(jax.random.key(0), jnp.zeros((1, 7, 9, 3)))
