"""The rows of a batch are divided over devices: under jit, on explicit axes, and in shard_map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nets.convolution import Conv
from nets.ctc import ctc_loss
from nets.decoding import StepModel, beam_search
from nets.language import AdaptiveSoftmax
from nets.recurrent import MDRNN, RNN, GRUCell, LSTMCell, MinGRUCell
from nets.shapes import merge_rows, unmerge_rows
from tests.division import assert_divided, moved

ROWS, STEPS, SIZE, WORDS = 32, 6, 8, 40


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def training(module, *batch):
    """A step of gradient descent of the sum of squared outputs; its parameters and its batch."""

    def loss(variables, *batch):
        outputs = module.apply(variables, *batch)
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(outputs))

    variables = jax.jit(module.init)(jax.random.key(0), *batch)
    return descent(loss), jax.tree.map(np.asarray, variables), batch


def descent(loss):
    def step(variables, *batch):
        gradient = jax.grad(loss)(variables, *batch)
        return jax.tree.map(lambda p, g: p - 0.01 * g, variables, gradient)

    return step


def recurrent(cell, *batch, **options):
    return lambda: training(RNN(cell, **options), draw(ROWS, STEPS, SIZE), *batch)


def ctc():
    def loss(kernel, x, labels):
        # the lengths are made here, so they are not divided
        lengths, sizes = jnp.full(len(x), STEPS), jnp.full(len(x), 3)
        return ctc_loss(x @ kernel, lengths, labels, sizes).nats.sum()

    labels = np.random.default_rng(0).integers(1, 5, (ROWS, 3)).astype(np.int32)
    return descent(loss), draw(SIZE, 5), (draw(ROWS, STEPS, SIZE), labels)


def advance(parameters, tokens, carry):
    embedding, kernel, output = parameters
    x = jax.nn.one_hot(tokens, WORDS) @ embedding  # on explicit axes an index needs a sharding
    carry = jnp.tanh(x + carry @ kernel)
    return carry @ output, carry


def search_all(parameters, carry):
    found = beam_search(StepModel(advance, parameters, carry, 0, 1), beam_size=3, max_length=5)
    return found.tokens, found.scores


def search():
    parameters = [draw(WORDS, SIZE), draw(SIZE, SIZE, seed=1), draw(SIZE, WORDS, seed=2)]
    # each device may drop half of its rows
    return search_all, parameters, (draw(2 * ROWS, SIZE, seed=3),)


PROGRAMS = {
    "lstm": recurrent(LSTMCell(SIZE), np.arange(ROWS) % STEPS + 1),
    "gru_in_chunks": recurrent(GRUCell(SIZE, reset_after=True), remat_chunk=3),
    "step_by_step": recurrent(LSTMCell(SIZE, peephole="full")),
    "in_parallel": recurrent(MinGRUCell(SIZE)),
    "grid": lambda: training(MDRNN(4), draw(ROWS, 4, 5, 3)),
    "grids_side_by_side": lambda: training(MDRNN(4), draw(64, 8, 8, 2)),
    "convolution": lambda: training(Conv(6, (5, 5)), draw(ROWS, 8, 8, 1)),
    "ctc": ctc,
    "adaptive_softmax": lambda: training(
        AdaptiveSoftmax(WORDS, (8, 20)),
        draw(ROWS, STEPS, SIZE),
        (np.arange(ROWS * STEPS, dtype=np.int32) * 7 % WORDS).reshape(ROWS, STEPS),
    ),
    "beam_search": search,
}


def placed(mesh, parameters, batch):
    """Copies of the parameters on every device, and the rows of the batch divided."""
    everywhere, rows = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    return jax.device_put(parameters, everywhere), *jax.device_put(batch, rows)


def compiled(step, parameters, batch, devices):
    """The program for a batch on some devices; training is given the memory of the parameters."""
    mesh = jax.make_mesh((devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices])
    arguments = placed(mesh, parameters, batch)
    donated = () if step is search_all else (0,)
    return jax.jit(step, donate_argnums=donated).lower(*arguments).compile(), arguments


def assert_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_device_does_its_share(name):
    step, parameters, batch = PROGRAMS[name]()
    one, arguments = compiled(step, parameters, batch, 1)
    four, divided = compiled(step, parameters, batch, 4)
    assert_divided(four, one)
    assert_close(four(*divided), one(*arguments))
    given = jax.tree.leaves(divided[0])
    assert {leaf.is_deleted() for leaf in given} == {name != "beam_search"}


def test_rows_merged_step_by_step_are_gathered():
    """The form that `merge_rows` replaces; so the test above can fail."""

    def step(parameters, x):
        flat = x.reshape(-1, SIZE)
        return parameters - flat.T @ flat

    x = draw(STEPS, ROWS, SIZE)
    mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec(None, "data"))
    four = jax.jit(step).lower(draw(SIZE, SIZE), jax.device_put(x, rows)).compile()
    assert moved(four)


# the layers, the loss and the search that a user's own program may call in either way
CALLED = ("lstm", "convolution", "ctc", "adaptive_softmax", "beam_search")


@pytest.mark.parametrize("way", ["explicit", "shard_map"])
@pytest.mark.parametrize("name", CALLED)
def test_explicit_axes_and_shard_map_give_the_same(name, way):
    step, parameters, batch = PROGRAMS[name]()
    expected = jax.jit(step)(parameters, *batch)
    if way == "explicit":
        mesh = jax.make_mesh((4,), ("data",))
        with jax.set_mesh(mesh):
            found = jax.jit(step)(*placed(mesh, parameters, batch))
    else:
        mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
        rows, everywhere = PartitionSpec("data"), PartitionSpec()
        # the parameters are the same everywhere, so JAX adds the gradients of all devices
        mapped = jax.shard_map(
            step,
            mesh=mesh,
            in_specs=(everywhere, *[rows] * len(batch)),
            out_specs=rows if name == "beam_search" else everywhere,
        )
        found = jax.jit(mapped)(parameters, *batch)
    assert_close(found, expected)


@pytest.mark.parametrize("rows", [0, 3, 6, 8])
def test_merged_rows_are_each_row_once(rows):
    x = np.arange(2 * 5 * rows * 3).reshape(2, 5, rows, 3)
    merged = merge_rows(jnp.asarray(x), axis=1)
    assert merged.shape == (2, 5 * rows, 3)
    np.testing.assert_array_equal(np.sort(merged, axis=1), x.reshape(2, 5 * rows, 3))
    np.testing.assert_array_equal(unmerge_rows(merged, 5, rows, axis=1), x)
    parts = np.gcd(rows, jax.device_count())
    share = merged[:, : 5 * rows // parts]  # the first part of the batch, all of its steps
    np.testing.assert_array_equal(share, x[:, :, : rows // parts].reshape(share.shape))
