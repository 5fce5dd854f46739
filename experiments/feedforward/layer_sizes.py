"""Sizes of activities and gradients through the layers of a network, and their picture."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nets.feedforward.mlp import MLP
from nets.interpret.gradient_flow import safe_norm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class LayerSizes(NamedTuple):
    """Root mean squares: activities [L + 1] of the input and L hidden layers, gradients [L + 1].

    A gradient is that of the loss with respect to the kernel of a hidden layer, or of the output.
    """

    activities: jax.Array
    gradients: jax.Array


def root_mean_square(x: jax.Array) -> jax.Array:
    """Return the root mean square of all elements, also of tiny ones."""
    return safe_norm(x.astype(jnp.float32).ravel()) / x.size**0.5


@partial(jax.jit, static_argnums=0)
def layer_sizes(
    model: MLP, variables: Any, x: jax.Array, labels: jax.Array, key: jax.Array
) -> LayerSizes:
    """Sizes for examples [B, D] with labels [B], as in training: dropout draws from `key`."""
    options: dict[str, Any] = {
        "train": True,
        "mutable": ["batch_stats"],
        "rngs": {"dropout": key},
    }

    def loss(params: Any) -> jax.Array:
        logits, _ = model.apply({**variables, "params": params}, x, **options)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    hidden, _ = model.apply(variables, x, method="hidden", **options)
    gradient = jax.grad(loss)(variables["params"])
    names = [*(f"hidden{i}" for i in range(len(model.widths))), "output"]
    return LayerSizes(
        jnp.stack([root_mean_square(layer) for layer in (x, *hidden)]),
        jnp.stack([root_mean_square(gradient[name]["kernel"]) for name in names]),
    )


def draw_sizes(axis: "Axes", curves: Mapping[str, Any], start: int, fontsize: int = 8) -> None:
    """Draw sizes by layer, the first of which is number `start`, on a logarithmic scale."""
    from matplotlib.ticker import MaxNLocator

    from train.drawing import MARKERS, legend_below, line_style

    axis.set_yscale("log", nonpositive="mask")
    for i, (name, sizes) in enumerate(curves.items()):
        values = np.asarray(sizes, float)
        layers = np.arange(start, start + len(values))
        label = name if values.any() else f"{name} (all zero)"
        marker = MARKERS[i % len(MARKERS)]
        axis.plot(layers, values, **line_style(i), marker=marker, label=label, markersize=5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("layer")
    legend_below(axis, fontsize=fontsize, ncols=2)


def sizes_picture(sizes: Mapping[str, LayerSizes]) -> "Figure":
    """Draw the sizes of the activities on the left and those of the gradients on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_sizes(left, {name: each.activities for name, each in sizes.items()}, 0)
    draw_sizes(right, {name: each.gradients for name, each in sizes.items()}, 1)
    left.set(title="activities (layer 0: the input)", ylabel="root mean square")
    right.set(title="gradients of the kernels (last layer: the output)", ylabel="root mean square")
    return figure
