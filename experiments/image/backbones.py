"""The networks that turn whole images into feature maps, by the name of a setting."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nets.image.backbone import ConvFeatures
from nets.image.efficientnet import EfficientNetLite0
from train.config import option

BACKBONES = {"convnet": ConvFeatures, "lite0": EfficientNetLite0}


def backbone() -> Any:
    """Declare the field of a config for the network of feature maps."""
    return option(
        "convnet",
        "network that computes the feature maps: convnet, from scratch, or lite0, pre-trained on "
        "ImageNet",
        choices=tuple(BACKBONES),
    )


def make_backbone(name: str, precision: str) -> nn.Module:
    """Network of a name in BACKBONES: images float [B, H, W, 3] in 0 .. 1 to maps by stride."""
    return BACKBONES[name](dtype=jnp.dtype(precision))


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
