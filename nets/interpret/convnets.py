"""Looking inside a convolutional network: filters, activations, patches, reconstruction, saliency.

The networks are as they are: Flax modules of images [B, H, W, C], called with train=False. A layer
is named by its module path, such as "C1" or "stage1_block1/conv2". Its maps are its output
[B, R, S, F], of F units at R x S places; an output [B, F] is taken for maps of one place.

Sources: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014; Simonyan,
Vedaldi and Zisserman, "Deep inside convolutional networks", 2014.
"""

import difflib
import math
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import lax

from .jaxpr import deconvnet, equations, exchange, is_rectifier, pool_all


def layer_shapes(model: nn.Module, variables, images) -> dict[str, tuple[int, ...]]:
    """Shape of the output of each layer that has maps, by name, in the order of their calls."""
    found = {}

    def note(call, args, kwargs, context):
        out = call(*args, **kwargs)
        called = context.method_name == "__call__" and context.module.path
        if called and getattr(out, "ndim", 0) in (2, 4):
            found["/".join(context.module.path)] = out.shape
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(partial(model.apply, train=False), variables, images)
    return found


def convolutions(model: nn.Module, variables, images) -> list[str]:
    """Names of the layers with a "kernel" of their own that has places, not inputs and units alone.

    They need not be `flax.linen.Conv`.
    """
    parameters = flatten_dict(variables["params"], sep="/")
    names = layer_shapes(model, variables, images)
    return [name for name in names if np.ndim(parameters.get(f"{name}/kernel", 0)) > 2]


def check_layer(model: nn.Module, variables, images, layer: str) -> None:
    """Raise ValueError with the nearest name when no layer that has maps is called so."""
    names = list(layer_shapes(model, variables, images))
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=1, cutoff=0.0)
        hint = "".join(f" (did you mean {name}?)" for name in near)
        raise ValueError(f"there is no layer {layer!r}{hint}; layers: {', '.join(names)}")


def filters(model: nn.Module, variables, images) -> np.ndarray:
    """Kernels of the first convolution as pictures float32 [F, h, w, C]: 0.5 is a weight of 0.

    All are drawn on one scale, on which the largest weight is 0 or 1. Raises ValueError for a
    network without a convolution.
    """
    names = convolutions(model, variables, images)
    if not names:
        raise ValueError("the network has no convolution")
    kernel = flatten_dict(variables["params"], sep="/")[f"{names[0]}/kernel"]
    kernel = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
    return 0.5 + 0.5 * kernel / max(np.abs(kernel).max(), np.finfo(np.float32).tiny)


@partial(jax.jit, static_argnames=("model", "layer"))
def activations(model: nn.Module, variables, images, layer: str):
    """Maps float32 [B, R, S, F] of a layer, of its last call where it is called again.

    Raises ValueError with the nearest name when there is no such layer.
    """
    check_layer(model, variables, images, layer)

    def wanted(module, method):
        return method == "__call__" and "/".join(module.path) == layer

    _, state = model.apply(
        variables, images, train=False, capture_intermediates=wanted, mutable=["intermediates"]
    )
    maps = flatten_dict(state["intermediates"], sep="/")[f"{layer}/__call__"][-1]
    maps = maps.reshape(len(images), *(maps.shape[1:] if maps.ndim == 4 else (1, 1, -1)))
    return maps.astype(jnp.float32)


class Fields(NamedTuple):
    """Which pixels the units of a layer read: rows int [R, 2], columns int [S, 2] of the image.

    Each is (first, last + 1), the same where nothing but padding is read.
    """

    rows: np.ndarray
    columns: np.ndarray

    def box(self, row: int, column: int) -> tuple[slice, slice]:
        """Rows and columns of the image that the units at (row, column) of the maps read."""
        return slice(*map(int, self.rows[row])), slice(*map(int, self.columns[column]))


def receptive_fields(model: nn.Module, variables, images, layer: str) -> Fields:
    """Receptive field of each place of a layer, cut off at the borders of the image.

    It is where the gradient of the place is not zero in a network of the same shape whose weights
    are all positive, with sums in place of maxima, at an image of zeros: then nothing cancels and
    nothing saturates. Found for whatever the layers are. It takes one backward pass of one image
    for each row and for each column of the maps. Of a network whose layers are all in one row,
    `nets.convolution.arithmetic.receptive_field` says the same of the places that no border cuts.
    Raises ValueError when there is no such layer.
    """
    image = np.zeros((1, *images.shape[1:]), np.float32)
    positive = jax.tree_util.tree_map_with_path(_positive, variables)
    # the fast convolutions of a GPU leave rounding where there is a zero
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        tables = jax.device_get(_reads(model, positive, image, layer))
    edges = []
    for table in tables:
        last = table.shape[1] - table[:, ::-1].argmax(axis=1)
        edges.append(np.stack([table.argmax(axis=1), table.any(axis=1) * last], axis=1))
    return Fields(*edges)


def _positive(path, leaf) -> np.ndarray:
    """Weights that take means of their inputs, so that no depth makes them too large or small."""
    value = 0.0 if path[-1].key in ("bias", "mean") else 1 / math.prod(leaf.shape[:-1])
    return np.full(leaf.shape, value, np.float32)


@partial(jax.jit, static_argnames=("model", "layer"))
def _reads(model, variables, image, layer):
    """Which rows [R, H] of the image each row of the maps reads, and the same of the columns."""
    maps = exchange(lambda x: activations(model, variables, x, layer), deconvnet, pool_all)
    out, backward = jax.vjp(maps, image)

    def table(axis):
        def line(place):
            chosen = jnp.arange(out.shape[axis]) == place
            seed = jnp.expand_dims(chosen, [a for a in range(4) if a != axis])
            (g,) = backward(jnp.broadcast_to(seed, out.shape).astype(out.dtype))
            return (g > 0).any(axis=tuple(a for a in range(4) if a != axis))

        return lax.map(line, jnp.arange(out.shape[axis]))

    return table(1), table(2)


class Patches(NamedTuple):
    """The k images that excite each of F units most, best first: arrays [k, F].

    values: the activation, float32. images: place of the image in the set. rows, columns: where in
    the maps it is, the first place of several as good. k is less where there are fewer images.
    """

    values: np.ndarray
    images: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def top_patches(
    model: nn.Module, variables, batches: Iterable[tuple[Any, Any]], layer: str, count: int
) -> Patches:
    """Return the `count` images that excite each unit of a layer most, and where; one batch held.

    batches: (images [B, H, W, C], mask [B], 0 for what is no image). At most one place of an image
    is taken for a unit; of images that are as good, the first is. Raises ValueError when there is
    no such layer or no image.
    """
    best, start = None, 0
    for images, mask in batches:
        values, places, width = jax.device_get(_largest(model, variables, images, layer))
        number = np.broadcast_to(np.arange(start, start + len(values))[:, None], values.shape)
        found = [part[mask > 0] for part in (values, number, *divmod(places, width))]
        if best is not None:
            found = [np.concatenate(pair) for pair in zip(best, found, strict=True)]
        order = np.argsort(-found[0], axis=0, kind="stable")[:count]
        best = [np.take_along_axis(part, order, axis=0) for part in found]
        start += len(values)
    if best is None or not len(best[0]):
        raise ValueError("a set of images must have at least one")
    return Patches(*best)


@partial(jax.jit, static_argnames=("model", "layer"))
def _largest(model, variables, images, layer):
    """Largest activation [B, F] of each unit, its place [B, F] row by row, and the row's length."""
    maps = activations(model, variables, images, layer)
    flat = maps.reshape(len(images), -1, maps.shape[3])
    return flat.max(axis=1), flat.argmax(axis=1), maps.shape[2]


def rectifies(model: nn.Module, variables, images) -> bool:
    """Whether the network has a rectifier, max(x, 0), which is what a deconvnet changes."""
    traced = jax.make_jaxpr(partial(model.apply, train=False))(variables, images)
    return any(map(is_rectifier, equations(traced.jaxpr)))


@partial(jax.jit, static_argnames=("model", "layer"))
def reconstructions(model: nn.Module, variables, images, layer: str, *, rows, columns, units):
    """What in the images excited a unit each, [B, H, W, C]: the deconvnet with switches.

    The activation at (rows[b], columns[b], units[b]) of image b goes back to the pixels, all others
    of the layer set to zero. Maximum pooling sends it to where the maximum was (the switch), a
    convolution through its transposed filters, and a rectifier is one on the way back, too: it lets
    through what is positive, whatever it let through forwards. That is the backward pass with
    another rule for rectifiers. All else has its own derivative: batch norm with running
    statistics is a factor, mean pooling spreads evenly, tanh is steep or flat. So where there is no
    rectifier it is the activation times its gradient. Where windows of a pooling overlap, what
    comes back to one place is added up. rows, columns, units: int [B].
    Raises ValueError when there is no such layer.
    """
    maps = exchange(lambda x: activations(model, variables, x, layer), deconvnet)
    out, backward = jax.vjp(maps, jnp.asarray(images))
    chosen = (jnp.arange(len(images)), rows, columns, units)
    return backward(jnp.zeros_like(out).at[chosen].set(out[chosen]))[0]


@partial(jax.jit, static_argnames=("model",))
def saliency(model: nn.Module, variables, images, classes):
    """|d score of classes[b] / d pixel| [B, H, W], the largest over the channels of a pixel.

    The score is the output of the network, before any softmax. classes: int [B].
    """
    score: Any = partial(model.apply, variables, train=False)
    out, backward = jax.vjp(score, jnp.asarray(images))
    (gradient,) = backward(jax.nn.one_hot(classes, out.shape[-1], dtype=out.dtype))
    return jnp.abs(gradient).max(axis=-1)
