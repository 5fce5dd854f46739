"""The training of bench.cold_start in PyTorch: `python -m bench.cold_start_pytorch SETTINGS`.

Prints the accuracy on the test set.
"""

import importlib
import json
import math
import sys

from bench.pytorch_networks import lenet, logits, take_step
from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches, TrainingBatches, load_images


def main() -> None:
    """Train and evaluate."""
    settings = json.loads(sys.argv[1])
    batch_size = settings["batch_size"]
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    splits = load_images(settings["dataset"], "", size=32)
    batches = TrainingBatches(
        splits["train"], batch_size, 0, Augmentation(settings["shift"], settings["scale"])
    )
    network = lenet()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings["learning_rate"])
    steps = settings["steps"]
    schedule = torch.optim.lr_scheduler.LambdaLR(  # as ours: cosine decay to 1 %
        optimizer, lambda t: 0.01 + 0.99 * (1 + math.cos(math.pi * t / steps)) / 2
    )

    for step in range(steps):
        take_step(network, optimizer, batches(step))
        schedule.step()
    correct = 0.0
    with torch.no_grad():
        for batch in EvaluationBatches(splits["test"], batch_size):
            predicted = logits(network, batch).argmax(dim=1).numpy()
            correct += float((batch["mask"] * (predicted == batch["label"])).sum())
    print(correct / len(splits["test"].labels))


if __name__ == "__main__":
    main()
