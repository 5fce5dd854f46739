"""The networks of feature maps: where they end, and what they refuse."""

import jax
import jax.numpy as jnp
import pytest

from experiments.image.backbones import make_backbone
from train.config import ConfigError


def shapes(model):
    maps, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    return [x.shape[1:3] for x in maps]


def test_a_convnet_ends_at_the_map_that_is_read():
    assert shapes(make_backbone("convnet", "float32")) == [
        (64 // k,) * 2 for k in (2, 4, 8, 16, 32)
    ]
    model = make_backbone("convnet", "float32", stride=4, blocks=2)
    assert shapes(model) == [(32, 32), (16, 16)]
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    assert sorted(params) == ["conv", "norm", "stage2_block1", "stage2_block2"]


def test_a_stride_that_no_map_has_is_refused():
    with pytest.raises(ConfigError, match=r"config.stride must be one of \(2, 4, .*got 12"):
        make_backbone("convnet", "float32", stride=12)
