"""Looking inside: planted patches, perturbed pixels, an explicit deconvnet, finite differences."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.convolution.arithmetic import Window, receptive_field
from nets.image.lenet import LectureLeNet5, LeNet5, PublishedLeNet5
from nets.interpret import convnets

RNG = np.random.default_rng(0)


class Corners(nn.Module):
    """One convolution with two kernels."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return nn.Conv(2, (2, 2), padding="VALID", use_bias=False, name="conv")(images)


def test_top_patches_are_where_they_were_planted():
    """Kernel 0 detects a rising diagonal, kernel 1 a falling one; -9 off it rules out the rest."""
    rising = np.array([[-9, 1], [1, -9]], np.float32)
    falling = rising[::-1]
    variables = {"params": {"conv": {"kernel": np.stack([rising, falling], axis=-1)[:, :, None]}}}
    images = np.zeros((8, 6, 7, 1), np.float32)
    planted = {0: (2, 3, 1.0), 2: (4, 5, 3.0), 3: (0, 0, 2.0), 5: (1, 4, 3.0)}
    for number, (row, column, height) in planted.items():
        images[number, row : row + 2, column : column + 2, 0] = height * (rising > 0)
    images[4, 3:5, 1:3, 0] = 1.75 * (falling > 0)
    images[5, 4:6, 0:2, 0] = 3 * (rising > 0)  # the same patch again, later in the image
    images[7, 0:2, 0:2, 0] = 50  # padding, not an image
    images[7, 0, 0] = images[7, 1, 1] = 0
    mask = np.array([1, 1, 1, 1, 1, 1, 1, 0])
    batches = [(images[i : i + 2], mask[i : i + 2]) for i in range(0, 8, 2)]
    top = convnets.top_patches(Corners(), variables, batches, "conv", 4)
    np.testing.assert_array_equal(top.images[:, 0], [2, 5, 3, 0])  # of equal ones the first
    np.testing.assert_array_equal(top.values[:, 0], [6, 6, 4, 2])
    np.testing.assert_array_equal(top.rows[:, 0], [4, 1, 0, 2])
    np.testing.assert_array_equal(top.columns[:, 0], [5, 4, 0, 3])
    best = [field[0, 1] for field in top]
    assert best == [3.5, 4, 3, 1]
    few = convnets.top_patches(Corners(), variables, batches, "conv", 20)
    assert few.values.shape == (7, 2)
    with pytest.raises(ValueError, match="at least one"):
        convnets.top_patches(Corners(), variables, [(images[:2], np.zeros(2))], "conv", 4)


class Stack(nn.Module):
    """Layers with the given windows along rows and columns; max pooling where `pools` is true."""

    windows: tuple[tuple[Window, Window], ...]
    pools: tuple[bool, ...]

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        for i, (pair, pool) in enumerate(zip(self.windows, self.pools, strict=True)):
            size, stride = (tuple(getattr(w, name) for w in pair) for name in ("size", "stride"))
            padding = [w.pads(length) for w, length in zip(pair, x.shape[1:3], strict=True)]
            if pool:
                x = nn.max_pool(x, size, stride, padding)
            else:
                dilation = tuple(w.dilation for w in pair)
                options: dict[str, Any] = {"padding": padding, "kernel_dilation": dilation}
                x = nn.relu(nn.Conv(2, size, stride, **options, name=f"conv{i}")(x))
        return x


class Block(nn.Module):
    """A residual block with batch norm, after max pooling of overlapping windows."""

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        x = nn.max_pool(nn.Conv(2, (3, 3), name="first")(x), (3, 3), (2, 2), "SAME")
        y = nn.Conv(2, (3, 3), name="second")(nn.BatchNorm(use_running_average=True)(x))
        x = nn.relu(x + nn.BatchNorm(use_running_average=True, scale_init=nn.zeros)(y))
        return nn.Conv(3, (1, 1), name="top")(jnp.tanh(x))


def perturbed(model, variables, shape):
    """Bool [R, S, H, W]: the positions of a layer's output that change with each pixel.

    The weights must be positive: maxima then follow a pixel that exceeds all others.
    """
    height, width, _ = shape
    pixels = np.broadcast_to(RNG.uniform(0.1, 0.2, (1, *shape)), (height * width + 1, *shape))
    pixels = pixels.astype(np.float32).copy()
    for i in range(height * width):
        pixels[i, i // width, i % width] = 2.0
    out = np.asarray(jax.jit(model.apply)(variables, pixels))
    changed = (out[:-1] != out[-1]).any(axis=-1).reshape(height, width, *out.shape[1:3])
    return changed.transpose(2, 3, 0, 1)


def ends(reads):
    """First and last + 1 of the indices where `reads` is true; [0, 0] if there are none."""
    indices = np.flatnonzero(reads)
    return [indices[0], indices[-1] + 1] if len(indices) else [0, 0]


STACKS = [
    # along rows, along columns; inner layers are VALID, so that the shape arithmetic is exact
    ([(Window(3), Window(2)), (Window(2, 2), Window(3, 2)), (Window(2, 1, "VALID", 2), Window(2))]),
    ([(Window(4, 3, (2, 1)), Window(3, 1, "SAME")), (Window(3, 2), Window(2)), (Window(1),) * 2]),
    # a 1x1 convolution that reads padding only, and inner padding
    ([(Window(1, 1, (2, 2)), Window(3, 2, "SAME")), (Window(2), Window(2)), (Window(1),) * 2]),
]


@pytest.mark.parametrize("windows", STACKS)
def test_receptive_fields_are_the_pixels_that_change_the_output(windows):
    model = Stack(tuple(windows), (False, True, False))
    shape = (13, 12, 1)
    image = np.zeros((1, *shape), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    positive = jax.tree.map(lambda leaf: RNG.uniform(0.5, 1, leaf.shape), variables)
    negative = jax.tree.map(np.negative, positive)  # the values do not matter
    fields = convnets.receptive_fields(model, negative, image, "conv2")
    changed = perturbed(model, positive, shape)
    rows = [ends(each.any(axis=(0, 2))) for each in changed]
    columns = [ends(each.any(axis=(0, 1))) for each in changed.transpose(1, 0, 2, 3)]
    np.testing.assert_array_equal(fields.rows, rows)
    np.testing.assert_array_equal(fields.columns, columns)
    for position in np.ndindex(changed.shape[:2]):
        box = np.zeros(shape[:2], bool)
        box[fields.box(*position)] = True
        assert not (changed[position] & ~box).any()
    for axis, edges in enumerate(fields):
        size, stride, offset = receptive_field(shape[axis], [pair[axis] for pair in windows])
        first = offset + stride * np.arange(len(edges))
        cropped = np.clip(np.stack([first, first + size], axis=1), 0, shape[axis])
        nonempty = edges[:, 0] < edges[:, 1]
        np.testing.assert_array_equal(edges[nonempty], cropped[nonempty])


def test_receptive_fields_through_a_residual_block_with_batch_norm():
    model, shape = Block(), (9, 8, 1)
    image = np.zeros((1, *shape), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    positive = jax.tree.map(lambda leaf: RNG.uniform(0.02, 0.1, leaf.shape), variables)
    zeros = jax.tree.map(np.zeros_like, positive)  # like the initial scale of the norm
    fields = convnets.receptive_fields(model, zeros, image, "top")
    changed = perturbed(model, positive, shape)
    np.testing.assert_array_equal(fields.rows, [ends(c.any(axis=(0, 2))) for c in changed])
    assert fields.box(1, 0) == (slice(0, 7), slice(0, 6))
    assert fields.rows.shape == (5, 2)


class Mixed(nn.Module):
    """A convolution, then an operation whose slope vanishes or cancels."""

    kind: str

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.Conv(2, (3, 3), name="first")(images)
        if self.kind == "square":
            x = x**2
        elif self.kind == "norm":
            x = nn.GroupNorm(num_groups=1)(x)
        elif self.kind == "excite":
            x = x * nn.sigmoid(nn.Dense(2)(x.mean(axis=(1, 2), keepdims=True)))
        else:
            x = jnp.log(-jnp.abs(x))
        return nn.Conv(2, (3, 3), name="top")(x)


def test_receptive_fields_hold_for_any_arithmetic():
    image = np.zeros((1, 7, 6, 1), np.float32)

    def fields(kind):
        model = Mixed(kind)
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
        return convnets.receptive_fields(model, variables, image, "top")

    np.testing.assert_array_equal(fields("square").rows[[0, 3]], [[0, 3], [1, 6]])
    for kind in ("norm", "excite"):
        np.testing.assert_array_equal(fields(kind).rows, [[0, 7]] * 7)
        np.testing.assert_array_equal(fields(kind).columns, [[0, 6]] * 6)
    with pytest.raises(ValueError, match="'top' are unknown: its maps are not finite"):
        fields("logarithm")


def test_receptive_field_of_lenet_matches_the_arithmetic():
    conv, half = Window(5), Window(2, stride=2)
    image = np.zeros((1, 32, 32, 1), np.float32)
    model = PublishedLeNet5()
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)
    fields = convnets.receptive_fields(model, variables, image, "C3")
    size, stride, offset = receptive_field(32, [conv, half, conv])
    first = offset + stride * np.arange(10)
    np.testing.assert_array_equal(fields.rows, np.stack([first, first + size], axis=1))
    np.testing.assert_array_equal(fields.columns, fields.rows)


class Rectified(nn.Module):
    """Convolution, nn.relu, max pooling, convolution, jnp.maximum(x, 0), convolution."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.relu(nn.Conv(3, (3, 3), padding="VALID", name="one")(images))
        x = nn.Conv(4, (2, 2), padding="VALID", name="two")(nn.max_pool(x, (2, 2), (2, 2)))
        return nn.Conv(2, (2, 2), padding="VALID", name="three")(jnp.maximum(x, 0))


def correlate(x, layer):
    """VALID convolution of x [H, W, C] by definition, with bias."""
    kernel, bias = layer["kernel"], layer["bias"]
    high, wide = x.shape[0] - kernel.shape[0] + 1, x.shape[1] - kernel.shape[1] + 1
    out = np.empty((high, wide, kernel.shape[3]))
    for i, j in np.ndindex(high, wide):
        patch = x[i : i + kernel.shape[0], j : j + kernel.shape[1]]
        out[i, j] = np.tensordot(patch, kernel, 3) + bias
    return out


def transposed(y, layer):
    """Transposed convolution of y [H, W, O] with the same filters, back to the inputs."""
    kernel = layer["kernel"]
    high, wide, channels = kernel.shape[:3]
    x = np.zeros((y.shape[0] + high - 1, y.shape[1] + wide - 1, channels))
    for i, j in np.ndindex(y.shape[:2]):
        x[i : i + high, j : j + wide] += kernel @ y[i, j]
    return x


def explicit_deconvnet(layers, image, unit):
    """Deconvnet of Zeiler and Fergus, layer by layer, from one unit of "three"."""
    one = np.maximum(correlate(image, layers["one"]), 0)
    pooled, switches = np.zeros((one.shape[0] // 2, one.shape[1] // 2, 3)), {}
    for i, j, c in np.ndindex(pooled.shape):
        window = one[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        row, column = divmod(int(window.argmax()), 2)
        switches[i, j, c] = 2 * i + row, 2 * j + column, c
        pooled[i, j, c] = window.max()
    two = np.maximum(correlate(pooled, layers["two"]), 0)
    three = correlate(two, layers["three"])
    signal = np.zeros_like(three)
    signal[unit] = three[unit]
    signal = np.maximum(transposed(signal, layers["three"]), 0)
    signal = transposed(signal, layers["two"])
    unpooled = np.zeros_like(one)
    for index, switch in switches.items():
        unpooled[switch] = signal[index]
    return transposed(np.maximum(unpooled, 0), layers["one"])


def test_reconstruction_matches_the_explicit_deconvnet():
    model = Rectified()
    images = RNG.normal(size=(3, 10, 10, 2)).astype(np.float32)
    variables = jax.device_get(jax.jit(model.init)(jax.random.key(3), images))
    selected = {"rows": [0, 1, 1], "columns": [1, 0, 1], "units": [1, 0, 1]}
    indices = {name: np.array(value) for name, value in selected.items()}
    pictures = convnets.reconstructions(model, variables, images, "three", **indices)
    assert convnets.has_rectifier(model, variables, images)
    for i, image in enumerate(images):
        unit = tuple(value[i] for value in selected.values())
        expected = explicit_deconvnet(variables["params"], image, unit)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(pictures[i], expected, rtol=1e-4, atol=1e-6)


class Smooth(nn.Module):
    """tanh and mean pooling, which have nothing for a deconvnet to change."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.avg_pool(jnp.tanh(nn.Conv(3, (2, 2), name="conv")(images)), (2, 2), (2, 2))
        return nn.Dense(4, name="output")(x.reshape(len(x), -1))


def test_saliency_is_the_slope_of_the_score():
    model = Smooth()
    images = RNG.normal(size=(2, 4, 4, 2)).astype(np.float32)
    variables = jax.device_get(jax.jit(model.init)(jax.random.key(0), images))
    classes, step = np.array([3, 1]), 0.01
    slopes = []
    score = jax.jit(model.apply)
    for image, label in zip(images, classes, strict=True):
        moves = step * np.eye(image.size, dtype=np.float32).reshape(-1, *image.shape)
        plus, minus = (score(variables, image + sign * moves)[:, label] for sign in (1, -1))
        slopes.append(np.asarray(plus - minus).reshape(image.shape) / (2 * step))
    saliency = convnets.saliency(model, variables, images, classes)
    np.testing.assert_allclose(saliency, np.abs(slopes).max(axis=-1), atol=2e-4)
    # without a rectifier, a reconstruction is the activation times its gradient
    zeros = np.zeros(2, int)
    indices = {"rows": zeros, "columns": zeros, "units": classes}
    pictures = convnets.reconstructions(model, variables, images, "output", **indices)
    activation = np.asarray(score(variables, images))[[0, 1], classes]
    np.testing.assert_allclose(pictures, activation[:, None, None, None] * slopes, atol=5e-4)
    assert not convnets.has_rectifier(model, variables, images)


class Twice(nn.Module):
    """A layer that is called twice."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        layer = nn.Conv(1, (1, 1), use_bias=False, name="shared")
        return layer(layer(images))


def test_layers_have_the_names_of_their_modules():
    images = np.zeros((2, 32, 32, 1), np.float32)
    names = {}
    for model in (LeNet5(), LectureLeNet5(), PublishedLeNet5()):
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        shapes = convnets.layer_shapes(model, variables, images)
        assert shapes["C3"] == (2, 10, 10, 16)
        assert convnets.convolution_names(model, variables, images) == ["C1", "C3", "C5"]
        names[type(model)] = list(shapes)
    assert names[LeNet5] == ["C1", "C3", "C5", "F6", "output"]
    assert names[LectureLeNet5] == ["C1", "S2", "C3", "S4", "C5", "F6", "output"]
    assert names[PublishedLeNet5] == ["C1", "S2", "C3", "S4", "C5", "F6"]
    with pytest.raises(ValueError, match=r"no layer 'c3' \(did you mean C3\?\); layers: C1, S2"):
        convnets.activations(model, variables, images, "c3")

    kernel = np.full((1, 1, 1, 1), -2.0)
    variables = {"params": {"shared": {"kernel": kernel}}}
    maps = convnets.activations(Twice(), variables, images[:, :2, :3] + 3, "shared")
    np.testing.assert_array_equal(maps, np.full((2, 2, 3, 1), 12.0))


class Flat(nn.Module):
    """A layer with maps and a kernel that is not a convolution."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return nn.Dense(2)(images)


def test_filters_are_on_one_scale():
    kernel = np.zeros((2, 2, 1, 2), np.float32)
    kernel[0, 1, 0] = 4, -2
    variables = {"params": {"conv": {"kernel": kernel}}}
    image = np.zeros((1, 4, 4, 1), np.float32)
    pictures = convnets.filters(Corners(), variables, image)
    np.testing.assert_array_equal(pictures[:, 0, 1, 0], [1, 0.25])
    assert pictures.shape == (2, 2, 2, 1)
    assert (pictures == 0.5).sum() == 6
    with pytest.raises(ValueError, match="no convolution"):
        convnets.filters(Flat(), jax.eval_shape(Flat().init, jax.random.key(0), image[0, 0]), image)
