"""Bidirectional: two recurrent layers that read in opposite directions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from .checks import Marks
from .layers import Layer, Results

MERGES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "concat": lambda a, b: jnp.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "product": lambda a, b: a * b,
}


class Bidirectional(Layer):
    """Two layers, the second of which reads backwards, with their outputs merged at each step.

    merge: "concat", "sum", "mean", "product", or any f(forward, backward) -> outputs. The carry is
    (carry of forward, carry of backward). forward, backward: RNN or Stacked, whose layers read
    forwards. Source: Schuster and Paliwal 1997.
    """

    forward: Layer
    backward: Layer
    merge: str | Callable[[jax.Array, jax.Array], jax.Array] = "concat"

    def run(self, x: jax.Array, marks: Marks, carry: Any, *, train: bool) -> Results:
        """Return ((carry, carry), merged outputs)."""
        layers = [self.forward, self.backward]
        cells = [getattr(layer, "cell", layer) for layer in layers]
        if layers[0] is layers[1] or cells[0] is cells[1]:
            raise ValueError(
                "forward and backward must be different layers with different cells, "
                "got the same one twice"
            )
        if any(getattr(layer, "reverse", False) for layer in layers):
            raise ValueError(
                "Bidirectional reverses its second layer itself: both must have reverse=False"
            )
        merge = self.merge if callable(self.merge) else MERGES.get(self.merge)
        if merge is None:
            raise ValueError(
                f"merge must be callable or one of {', '.join(MERGES)}, got {self.merge!r}"
            )
        carries = (None, None) if carry is None else carry
        if len(carries) != 2:
            raise ValueError(f"two directions need two carries, got {len(carries)}")
        turned = replace(marks, reverse=not marks.reverse)
        forward_carry, forward = self.forward(x, marks, None, None, carries[0], train)
        backward_carry, backward = self.backward(x, turned, None, None, carries[1], train)
        outputs = merge(forward, backward)
        if marks.valid is not None:  # a callable need not map zeros to zeros
            outputs = jnp.where(marks.valid[..., None], outputs, 0)
        return (forward_carry, backward_carry), outputs
