"""Looking inside a convolutional network: filters, activations, patches, reconstruction, saliency.

Networks need no changes: they are Flax modules of images [B, H, W, C], called with train=False. A
layer is named by its module path, such as "C1" or "stage1_block1/conv2". Its maps are its output
[B, R, S, F], of F units at R x S positions; an output [B, F] counts as maps of one position.

Sources: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014; Simonyan,
Vedaldi and Zisserman, "Deep inside convolutional networks", 2014.
"""

import difflib
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import lax

from ..shapes import flatten_from
from .jaxpr import deconvnet_rule, equations, is_rectifier, replace_operations

Array = jax.Array | np.ndarray


def layer_shapes(model: nn.Module, variables: Any, images: Array) -> dict[str, tuple[int, ...]]:
    """Return the output shape of each layer that has maps, by name, in the order of their calls."""
    shapes = {}

    def record(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        out = call(*args, **kwargs)
        called = context.method_name == "__call__" and context.module.path
        if called and getattr(out, "ndim", 0) in (2, 4):
            shapes["/".join(context.module.path)] = out.shape
        return out

    with nn.intercept_methods(record):
        jax.eval_shape(partial(model.apply, train=False), variables, images)
    return shapes


def convolution_names(model: nn.Module, variables: Any, images: Array) -> list[str]:
    """Return the names of the layers that have maps and a "kernel" with three or more axes.

    They need not be `flax.linen.Conv`.
    """
    parameters = flatten_dict(variables["params"], sep="/")
    names = layer_shapes(model, variables, images)
    return [name for name in names if np.ndim(parameters.get(f"{name}/kernel", 0)) > 2]


def check_layer(model: nn.Module, variables: Any, images: Array, layer: str) -> None:
    """Raise ValueError with the closest name when no layer with maps has this name."""
    names = list(layer_shapes(model, variables, images))
    if layer not in names:
        close = difflib.get_close_matches(layer, names, n=1, cutoff=0.0)
        hint = "".join(f" (did you mean {name}?)" for name in close)
        raise ValueError(f"there is no layer {layer!r}{hint}; layers: {', '.join(names)}")


def filters(model: nn.Module, variables: Any, images: Array) -> np.ndarray:
    """Return the kernels of the first convolution as pictures float32 [F, h, w, C].

    A weight of 0 becomes 0.5; on the common scale, the weight of largest magnitude becomes 0 or 1.
    Raises ValueError for a network without a convolution.
    """
    names = convolution_names(model, variables, images)
    if not names:
        raise ValueError("the network has no convolution")
    kernel = flatten_dict(variables["params"], sep="/")[f"{names[0]}/kernel"]
    kernel = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
    return 0.5 + 0.5 * kernel / max(np.abs(kernel).max(), np.finfo(np.float32).tiny)


@partial(jax.jit, static_argnames=("model", "layer"))
def activations(model: nn.Module, variables: Any, images: Array, layer: str) -> jax.Array:
    """Return the maps float32 [B, R, S, F] of a layer; of its last call if it is called repeatedly.

    Raises ValueError with the closest name when there is no such layer.
    """
    check_layer(model, variables, images, layer)

    def is_layer(module: nn.Module, method: str) -> bool:
        return method == "__call__" and "/".join(module.path) == layer

    _, state = model.apply(
        variables, images, train=False, capture_intermediates=is_layer, mutable=["intermediates"]
    )
    maps = flatten_dict(state["intermediates"], sep="/")[f"{layer}/__call__"][-1]
    if maps.ndim != 4:
        maps = flatten_from(maps, 1)[:, None, None]
    return maps.astype(jnp.float32)


class ReceptiveFields(NamedTuple):
    """The pixels that the units of a layer read: image rows int [R, 2] and columns int [S, 2].

    Each pair is (first, last + 1); both are equal where only padding is read.
    """

    rows: np.ndarray
    columns: np.ndarray

    def box(self, row: int, column: int) -> tuple[slice, slice]:
        """Return the image rows and columns read by the units at (row, column) of the maps."""
        return slice(*map(int, self.rows[row])), slice(*map(int, self.columns[column]))


def receptive_fields(
    model: nn.Module, variables: Any, images: Array, layer: str
) -> ReceptiveFields:
    """Return the receptive field of each position of a layer, cropped to the image.

    The field of a position reaches from the first to the last row, and from the first to the last
    column, that make the position NaN when they are NaN. So it does not depend on the weights, and
    after a mean over all positions, as in group norm or squeeze-and-excitation, it is the whole
    image. A value must take part in the arithmetic: one that only decides, as x does in
    `jnp.where(x > 0, a, b)`, is not seen. The computation takes one pass of one image for each of
    its rows and columns. For a plain sequence of layers,
    `nets.convolution.arithmetic.receptive_field` gives the same fields, except at the borders.
    Raises ValueError when there is no such layer, and when its maps are not finite even for an
    image without NaN.
    """
    image = np.random.default_rng(0).uniform(0.5, 1, (1, *images.shape[1:])).astype(np.float32)
    positive = jax.tree_util.tree_map_with_path(_positive, variables)
    # fast convolutions on a GPU mix neighbouring values
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        finite, tables = jax.device_get(_dependencies(model, positive, image, layer))
    if not finite:
        raise ValueError(f"the fields of {layer!r} are unknown: its maps are not finite")
    edges = []
    for table in tables:
        last = table.shape[1] - table[:, ::-1].argmax(axis=1)
        edges.append(np.stack([table.argmax(axis=1), table.any(axis=1) * last], axis=1))
    return ReceptiveFields(*edges)


def _positive(path: Any, leaf: Array) -> np.ndarray:
    """Return weights that average their inputs, so that no depth overflows or underflows."""
    value = 0.0 if path[-1].key in ("bias", "mean") else 1 / math.prod(leaf.shape[:-1])
    return np.full(leaf.shape, value, np.float32)


@partial(jax.jit, static_argnames=("model", "layer"))
def _dependencies(
    model: nn.Module, variables: Any, image: Array, layer: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return whether all maps are finite, and (rows, columns).

    rows: bool [R, H], image rows that each row of the maps reads. columns: likewise [S, W].
    """

    def table(axis: int) -> jax.Array:
        def line(index: jax.Array) -> jax.Array:
            selected = jnp.arange(image.shape[axis]) == index
            marked = jnp.expand_dims(selected, [a for a in range(4) if a != axis])
            maps = activations(model, variables, jnp.where(marked, jnp.nan, image), layer)
            return jnp.isnan(maps).any(axis=tuple(a for a in range(4) if a != axis))

        return lax.map(line, jnp.arange(image.shape[axis])).T

    finite = jnp.isfinite(activations(model, variables, image, layer)).all()
    return finite, (table(1), table(2))


class TopPatches(NamedTuple):
    """The k images that activate each of F units most, strongest first: arrays [k, F].

    values: the activations, float32. images: index of the image in the set. rows, columns: position
    in the maps, the first of equal ones. k is smaller if there are fewer images.
    """

    values: np.ndarray
    images: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def top_patches(
    model: nn.Module, variables: Any, batches: Iterable[tuple[Any, Any]], layer: str, count: int
) -> TopPatches:
    """Return the `count` images that activate each unit of a layer most, and the positions.

    batches: (images [B, H, W, C], mask [B], 0 for padding); one is in memory at a time. A unit has
    at most one position in each image; of images with equal activations, the first is returned.
    Raises ValueError when there is no such layer or no image.
    """
    best, start = None, 0
    for images, mask in batches:
        values, positions, width = jax.device_get(_largest(model, variables, images, layer))
        index = np.broadcast_to(np.arange(start, start + len(values))[:, None], values.shape)
        candidates = [a[mask > 0] for a in (values, index, *divmod(positions, width))]
        if best is not None:
            candidates = [np.concatenate(pair) for pair in zip(best, candidates, strict=True)]
        order = np.argsort(-candidates[0], axis=0, kind="stable")[:count]
        best = [np.take_along_axis(a, order, axis=0) for a in candidates]
        start += len(values)
    if best is None or not len(best[0]):
        raise ValueError("a set of images must have at least one")
    return TopPatches(*best)


@partial(jax.jit, static_argnames=("model", "layer"))
def _largest(model: nn.Module, variables: Any, images: Array, layer: str) -> tuple[Any, ...]:
    """Return each unit's largest activation [B, F], its index [B, F] in row-major order, and S."""
    maps = activations(model, variables, images, layer)
    flat = maps.reshape(len(images), maps.shape[1] * maps.shape[2], maps.shape[3])
    return flat.max(axis=1), flat.argmax(axis=1), maps.shape[2]


def has_rectifier(model: nn.Module, variables: Any, images: Array) -> bool:
    """Return whether the network has a rectifier, max(x, 0), whose gradient a deconvnet changes."""
    traced = jax.make_jaxpr(partial(model.apply, train=False))(variables, images)
    return any(map(is_rectifier, equations(traced.jaxpr)))


@partial(jax.jit, static_argnames=("model", "layer"))
def reconstructions(
    model: nn.Module,
    variables: Any,
    images: Array,
    layer: str,
    *,
    rows: Array,
    columns: Array,
    units: Array,
) -> jax.Array:
    """Return the deconvnet reconstruction, with switches, of one unit in each image: [B, H, W, C].

    The activation at (rows[b], columns[b], units[b]) of image b is propagated back to the pixels,
    with all others of the layer set to zero. Max pooling sends it to the position of the maximum
    (the switch), and a convolution through its transposed filters; a rectifier rectifies on the way
    back as well, passing positive signals regardless of its forward input. That is the backward
    pass with another rule for rectifiers. All other operations have their own derivative: batch
    norm with running statistics scales, mean pooling spreads evenly, tanh multiplies by its slope.
    Without rectifiers the result is the activation times its gradient. Signals from overlapping
    pooling windows are summed. rows, columns, units: int [B]. Raises ValueError when there is no
    such layer.
    """
    maps = replace_operations(lambda x: activations(model, variables, x, layer), deconvnet_rule)
    out, backward = jax.vjp(maps, jnp.asarray(images))
    selected = (jnp.arange(len(images)), rows, columns, units)
    return backward(jnp.zeros_like(out).at[selected].set(out[selected]))[0]


@partial(jax.jit, static_argnames=("model",))
def saliency(model: nn.Module, variables: Any, images: Array, classes: Array) -> jax.Array:
    """Return |d score of classes[b] / d pixel| [B, H, W], maximised over the channels of a pixel.

    The score is the output of the network, before any softmax. classes: int [B].
    """
    score: Any = partial(model.apply, variables, train=False)
    out, backward = jax.vjp(score, jnp.asarray(images))
    (gradient,) = backward(jax.nn.one_hot(classes, out.shape[-1], dtype=out.dtype))
    return jnp.abs(gradient).max(axis=-1)
