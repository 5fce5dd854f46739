"""The weights of a perceptron during training, found again by presenting the same samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from data.epochs import epoch_order
from data.tabular.two_classes import TwoClasses
from nets.feedforward.perceptron import present

SHOWN = 13  # weights of a cycle in a text


@dataclass(frozen=True)
class History:
    """Passes over training samples in the order of a run that presents one sample at a time.

    phi: features float32 [N, M] of the samples. order: "fixed" or "shuffled", by the seed. passes:
    the number of whole passes. rate: the learning rate.
    """

    data: TwoClasses
    phi: np.ndarray
    order: str
    seed: int
    passes: int
    rate: float

    def _passes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Weights [N, M] after each presentation and bool [N], where they changed, of each pass."""
        weights, count = jnp.zeros(self.phi.shape[1]), len(self.phi)
        for epoch in range(self.passes):
            shuffled = self.order == "shuffled"
            rows = epoch_order(self.seed, epoch, count) if shuffled else np.arange(count)
            after, mistakes = present(weights, self.phi[rows], self.data.t[rows], self.rate)
            weights = after[-1]
            yield np.asarray(after), np.asarray(mistakes)

    def weights(self, updates: int) -> list[np.ndarray]:
        """Weights [M] after each of the first `updates` updates of the whole passes."""
        found: list[np.ndarray] = []
        for after, mistakes in self._passes():
            found += list(after[mistakes])
            if len(found) >= updates:
                break
        return found[:updates]

    def cycle(self) -> str:
        """Say that the rule never stops, and which weights it repeats at the ends of its passes."""
        text = "no margin separates the samples, so the rule never stops"
        if self.order != "fixed":
            return f"{text}; config.order=fixed shows a cycle of weights"
        ends, updates = [np.zeros(self.phi.shape[1])], [0]
        path = [ends[0]]
        for number, (after, mistakes) in enumerate(self._passes(), 1):
            path += list(after[mistakes])
            ends.append(after[-1])
            updates.append(len(path) - 1)
            same = next(i for i, other in enumerate(ends) if np.array_equal(other, after[-1]))
            if same < number:
                cycle = [str(tuple(map(float, w))) for w in path[updates[same] :]]
                dots = ["..."] if len(cycle) > SHOWN else []
                return (
                    f"{text}; after pass {number} the weights are those after pass {same} again, a "
                    f"cycle of {len(cycle) - 1} updates: {' > '.join(cycle[:SHOWN] + dots)}"
                )
        return f"{text}; no weights were repeated in {self.passes} passes"
