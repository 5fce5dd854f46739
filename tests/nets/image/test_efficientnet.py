"""EfficientNet-Lite0."""

import jax
import jax.numpy as jnp
import pytest

from nets.image.efficientnet import EfficientNetLite0, Lite0Classifier, pads


def test_padding_is_that_of_tensorflow_for_even_sides():
    for size, stride in ((3, 1), (5, 1), (3, 2), (5, 2)):
        found = jax.lax.padtype_to_pads((8, 12), (size, size), (stride, stride), "SAME")
        assert pads(size, stride) == tuple(tuple(pad) for pad in found)


def test_sides_are_rounded_down_and_other_images_refused():
    model = EfficientNetLite0()
    images = jnp.zeros((0, 77, 45, 3))
    shapes = jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0]
    assert [x.shape[1:] for x in shapes] == [
        (38, 22, 16), (19, 11, 24), (9, 5, 40), (4, 2, 112), (2, 1, 320),
    ]  # fmt: skip
    for shape in ((1, 31, 64, 3), (1, 64, 64, 4), (64, 64, 3)):
        with pytest.raises(ValueError, match="32 or more"):
            jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))


def test_the_classifier_has_the_published_number_of_parameters():
    shapes = jax.eval_shape(Lite0Classifier().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert set(shapes) == {"params"}
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 4_652_008
