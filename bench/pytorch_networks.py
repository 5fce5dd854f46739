"""The networks of bench.convolution and their training step in PyTorch."""

import importlib
from typing import Any


def lenet() -> Any:
    """Make LeNet-5 with modern layers, for 32 x 32 images."""
    nn = importlib.import_module("torch.nn")
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def convnet(width: int, stages: int, blocks: int, dropout: float) -> Any:
    """Make the residual network of nets/image/resnet.py, for images of any size."""
    nn: Any = importlib.import_module("torch.nn")

    def convolution(channels: int, features: int, size: int) -> Any:
        layer = nn.Conv2d(channels, features, size, padding=size // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(features))

    class Residual(nn.Module):
        """relu(s(x) + n(K2 * relu(n(K1 * x))))."""

        def __init__(self, channels: int, features: int):
            super().__init__()
            first, second = convolution(channels, features, 3), convolution(features, features, 3)
            self.body = nn.Sequential(first, nn.ReLU(), second)
            same = channels == features
            self.shortcut = nn.Identity() if same else convolution(channels, features, 1)

        def forward(self, x: Any) -> Any:
            """Return [B, features, H, W]."""
            return nn.functional.relu(self.shortcut(x) + self.body(x))

    layers, channels = [convolution(1, width, 3), nn.ReLU()], width
    for stage in range(stages):
        layers.append(nn.MaxPool2d(2))
        for _ in range(blocks):
            layers.append(Residual(channels, width * 2 ** (stage + 1)))
            channels = width * 2 ** (stage + 1)
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, 10))
    return nn.Sequential(*layers, *end)


def logits(network: Any, batch: dict[str, Any]) -> Any:
    """Logits [B, 10] of a network for one of our batches, of numpy or of tensors."""
    images = importlib.import_module("torch").as_tensor(batch["image"])
    return network(images.permute(0, 3, 1, 2).contiguous())


def take_step(network: Any, optimizer: Any, batch: dict[str, Any], smoothing: float = 0.0) -> Any:
    """Take one optimizer step; return the loss."""
    torch = importlib.import_module("torch")
    labels = torch.as_tensor(batch["label"]).long()
    scores = logits(network, batch)
    loss = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
