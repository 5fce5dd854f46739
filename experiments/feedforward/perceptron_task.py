"""The task of a perceptron: its criterion, the count of its updates, and its figures."""

import math
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.feedforward.history import History
from nets.feedforward.perceptron import Perceptron, is_mistake, perceptron_criterion
from train.task import Mean, Task


class SeparateTwoClasses(Task):
    """Mean of max(0, -t f), which is 0 for w = 0 as well: the error selects the best checkpoint.

    bound: the largest number of updates, infinite for data that no margin separates. history: that
    of the run, for its figures; a trained network has none.
    """

    headline = "accuracy"
    objective = "error"

    def __init__(
        self,
        model: Perceptron,
        classes: tuple[str, str],
        bound: float,
        history: History | None = None,
    ):
        self.model, self.classes, self.bound, self.history = model, classes, bound, history

    def inputs(self, batch):
        """Return the vectors, and the targets by which the network counts its updates."""
        return batch["x"], batch["t"]

    def means(self, outputs, batch):
        """Loss, error rate and accuracy; a sample on the boundary counts as a mistake."""
        wrong = is_mistake(outputs, batch["t"])
        loss = perceptron_criterion(outputs, batch["t"])
        values = {"loss": loss, "error": wrong, "accuracy": ~wrong}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def solved(self, values):
        """True when no mistake is left on the training set, so that no step would change w."""
        return values["error"] == 0

    def scores(self, predict, batches):
        """Return the number of updates and, for separable data, its ratio to the bound."""
        updates = float(predict.variables["counts"]["updates"])
        if math.isinf(self.bound):
            return {"updates": updates}
        return {
            "updates": updates,
            "bound": self.bound,
            "updates_over_bound": updates / self.bound,
        }

    def figures(self, predict, batches):
        """Draw the boundary in the plane, the weights of a retina, or the outputs."""
        from experiments.feedforward import perceptron_pictures as pictures

        figures: dict[str, Any] = {}
        x = next(iter(batches))["x"]
        updates = int(predict.variables["counts"]["updates"])
        weights = np.asarray(predict.variables["params"]["output"]["kernel"])[:, 0]
        if self.history and math.isinf(self.bound):
            text = self.history.cycle()
            tqdm.write(text)
            figures["cycle"] = text + "\n"
        if x.shape[1] == pictures.RETINA**2:
            figures["weights"] = pictures.retina_picture(self.weights_of_points(predict.variables))
        if x.shape[1] == 2 and self.history and not self.model.units:
            path = self.history.weights(updates)
            figures["boundary"] = pictures.plane_picture(
                self.history.data, [*path[: updates - 1], weights], updates
            )
        else:
            rows = [
                np.stack([np.asarray(predict(batch)[0]), batch["t"]])[:, batch["mask"] > 0]
                for batch in batches
            ]
            outputs, targets = np.concatenate(rows, axis=1)
            figures["outputs"] = pictures.outputs_picture(outputs, targets, self.classes)
        return figures

    def weights_of_points(self, variables) -> np.ndarray:
        """Weight [D] of each point of a retina; with associative units, summed over their wires."""
        weights = np.asarray(variables["params"]["output"]["kernel"])[:-1, 0]
        if not self.model.units:
            return weights
        return np.asarray(variables["wiring"]["associative"]["connections"]) @ weights
