"""The networks that turn whole images into feature maps, by the name of a setting."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nets.image.backbone import ConvFeatures
from nets.image.efficientnet import EfficientNetLite0
from train.config import ConfigError, option

BACKBONES = ("convnet", "lite0")
STRIDES = (2, 4, 8, 16, 32)  # of their maps


def backbone() -> Any:
    """Declare the field of a config for the network of feature maps."""
    return option(
        "convnet",
        "network that computes the feature maps: convnet, from scratch, or lite0, pre-trained on "
        "ImageNet",
        choices=BACKBONES,
    )


def make_backbone(
    name: str, precision: str, stride: int = STRIDES[-1], blocks: int = 1
) -> nn.Module:
    """Network of a name in BACKBONES: images float [B, H, W, 3] in 0 .. 1 to maps by stride.

    stride: stride of the coarsest map that is needed; a convnet ends with it. blocks: residual
    blocks of a convnet for each map. Raises ConfigError for a stride that no map has.
    """
    if stride not in STRIDES:
        raise ConfigError(f"config.stride must be one of {STRIDES}, got {stride}")
    dtype = jnp.dtype(precision)
    if name == "lite0":
        return EfficientNetLite0(dtype=dtype)
    return ConvFeatures(ConvFeatures.widths[: STRIDES.index(stride) + 1], blocks, dtype)


def pretrained_values(name: str, path: str) -> Mapping[str, np.ndarray]:
    """Initial values of a backbone's parameters, by path below `path`; none if it has none.

    path: where the parameters are, such as "params/backbone". Raises DataError when the package
    with the weights is missing.
    """
    if name != "lite0":
        return {}
    from experiments.image.pretrained import lite0

    return {
        f"{path}/{rest}": values
        for each, values in lite0().items()
        for top, _, rest in [each.partition("/")]
        if top == "backbone"
    }
