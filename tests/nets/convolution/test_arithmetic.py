"""Convolution against its equation, and shape arithmetic against the shapes that JAX computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.convolution.arithmetic import ReceptiveField, Window, output_size, receptive_field

quick = settings(deadline=None, derandomize=True, max_examples=40)
paddings = st.one_of(st.sampled_from(["SAME", "VALID"]), st.tuples(*[st.integers(0, 3)] * 2))
windows = st.builds(Window, st.integers(1, 5), st.integers(1, 4), paddings, st.integers(1, 3))
KERNEL = jnp.array([[1.0, 2.0], [1.0, 0.0]])


def convolve(image, kernel, **options):
    """Convolve an image [H, W] with a kernel [h, w] by Flax."""
    layer = nn.Conv(1, kernel.shape, use_bias=False, **options)
    variables = {"params": {"kernel": kernel[..., None, None]}}
    return layer.apply(variables, image[None, ..., None])[0, ..., 0]


def test_convolution_is_the_sum_over_the_kernel_without_a_flip():
    image, cotangent = jnp.arange(9.0).reshape(3, 3), jnp.array([[1.0, -2.0], [3.0, 0.5]])

    @jax.jit
    def computed(kernel):
        result, pullback = jax.vjp(lambda k: convolve(image, k, padding="VALID"), kernel)
        return result, convolve(image, kernel, padding=1, strides=2), pullback(cotangent)[0]

    result, strided, gradient = computed(KERNEL)
    np.testing.assert_array_equal(result, [[5, 9], [17, 21]])
    np.testing.assert_array_equal(strided, [[0, 1], [6, 21]])
    # the kernel's gradient is the sum over output positions of their gradient times their patch
    pixels = np.arange(9.0).reshape(3, 3)
    weight = {(0, 0): 1, (0, 1): -2, (1, 0): 3, (1, 1): 0.5}
    expected = sum(w * pixels[i : i + 2, j : j + 2] for (i, j), w in weight.items())
    np.testing.assert_allclose(gradient, expected)


def test_a_1x1_convolution_is_a_dense_layer_at_each_position():
    x = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    kernel = np.array([[1, 0], [2, -1], [0, 3]], np.float32)
    layer = nn.Conv(2, (1,), use_bias=False)
    out = jax.jit(layer.apply)({"params": {"kernel": kernel[None]}}, x)
    np.testing.assert_allclose(out, x @ kernel)


def test_max_pooling_sends_the_gradient_to_the_maximum():
    image = jnp.array([[1.0, 7, 2, 0], [3, 4, 9, 5]])[None, ..., None]
    gradient = jax.grad(
        lambda x: (nn.max_pool(x, (2, 2), (2, 2)) * jnp.array([[2.0], [5.0]])).sum()
    )
    np.testing.assert_array_equal(gradient(image)[0, ..., 0], [[0, 2, 0, 0], [0, 0, 5, 0]])


def lax_size(length, window):
    """Output size of the same convolution in JAX, from shapes only."""
    pads = window.padding if isinstance(window.padding, str) else [window.padding]
    options = {"rhs_dilation": (window.dilation,), "dimension_numbers": ("NHC", "HIO", "NHC")}
    conv = jax.lax.conv_transpose if window.transposed else jax.lax.conv_general_dilated
    inputs = (1, length, 1), (window.size, 1, 1)
    x, kernel = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs)
    out = jax.eval_shape(lambda x, k: conv(x, k, (window.stride,), pads, **options), x, kernel)
    return out.shape[1]


@quick
@given(length=st.integers(1, 20), window=windows, transposed=st.booleans())
def test_sizes_are_those_of_jax(length, window, transposed):
    window = Window(window.size, window.stride, window.padding, window.dilation, transposed)
    try:
        size = output_size(length, window)
    except ValueError:
        # JAX gives size 0 where there is no output
        assert lax_size(length, window) == 0
    else:
        assert size == lax_size(length, window)


@quick
@given(length=st.integers(1, 12), window=windows)
def test_pooling_has_the_same_sizes(length, window):
    if window.span > length + sum(window.pads(length)):
        return
    pads = window.padding if isinstance(window.padding, str) else [window.padding]
    pool = jax.eval_shape(
        lambda x: jax.lax.reduce_window(
            x,
            -jnp.inf,
            jax.lax.max,
            (window.size,),
            (window.stride,),
            pads,
            window_dilation=(window.dilation,),
        ),
        jax.ShapeDtypeStruct((length,), jnp.float32),
    )
    assert pool.shape == (output_size(length, window),)


def reads(length, window):
    """Bool [outputs, length]: the inputs that each output reads, by enumerating the taps."""
    low, _ = window.pads(length)
    table = np.zeros((output_size(length, window), length), bool)
    for i, row in enumerate(table):
        taps = i * window.stride - low + window.dilation * np.arange(window.size)
        row[taps[(taps >= 0) & (taps < length)]] = True
    return table


@quick
@given(stack=st.lists(windows, min_size=1, max_size=3), length=st.integers(20, 40))
def test_receptive_field_bounds_what_each_output_reads(stack, length):
    try:
        field = receptive_field(length, stack)
    except ValueError:
        return
    dependent, size = np.eye(length, dtype=bool), length
    for window in stack:
        dependent = reads(size, window) @ dependent
        size = output_size(size, window)
    for i, row in enumerate(dependent):
        first = field.offset + i * field.stride
        inside = np.flatnonzero(row)
        assert ((inside >= first) & (inside < first + field.size)).all()
    # the bound is tight: away from the borders, both ends are read
    ends = [field.offset + i * field.stride for i in range(len(dependent))]
    for first, row in zip(ends, dependent, strict=True):
        if first >= 0 and first + field.size <= length and not has_inner_padding(stack):
            assert row[first]
            assert row[first + field.size - 1]


def has_inner_padding(stack):
    """Whether an inner layer pads, so that the ends of a field may be zeros of its input."""
    return any(window.padding not in ("VALID", (0, 0)) for window in stack[1:])


def test_receptive_field_of_lenet_and_of_dilated_layers():
    conv, half = Window(5), Window(2, stride=2)
    assert receptive_field(32, [conv, half, conv, half]) == ReceptiveField(16, 4, 0)
    assert receptive_field(32, [conv, half, conv, half, conv]) == ReceptiveField(32, 4, 0)
    same = [Window(3, padding="SAME", dilation=d) for d in (1, 2, 4)]
    assert receptive_field(50, same) == ReceptiveField(15, 1, -7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Window(0), "at least 1"),
        (lambda: Window(3, padding="FULL"), "FULL"),
        (lambda: output_size(4, Window(5)), "4 positions"),
        (lambda: receptive_field(9, [Window(2, transposed=True)]), "transposed=True"),
    ],
)
def test_windows_without_an_output_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()
