"""The public surface of nets under the settings of a host program, and with empty batches."""

from contextlib import contextmanager

import jax
import numpy as np
import pytest

from tests.nets.surface import DATA, ROOMS, SURFACE

CALLS = sorted(name for name, call in SURFACE.items() if call is not None)


@contextmanager
def settings(**values):
    before = {name: getattr(jax.config, name) for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_the_table_has_every_public_name():
    names = {f"{room}.{name}" for room, module in ROOMS.items() for name in dir(module)}
    assert names == set(SURFACE) | {f"{room}.{name}" for room in DATA for name in DATA[room]}


@pytest.mark.parametrize("name", CALLS)
def test_settings_of_the_host_program_and_empty_batches_change_no_kind_of_result(name):
    def traced(rows):
        return jax.eval_shape(lambda: SURFACE[name](rows))

    expected = traced(2)
    with settings(
        jax_enable_x64=True,
        jax_numpy_rank_promotion="raise",
        jax_numpy_dtype_promotion="strict",
    ):
        strict = traced(2)
    empty = traced(0)
    assert jax.tree.structure(expected) == jax.tree.structure(empty)
    leaves = zip(*map(jax.tree.leaves, (expected, strict, empty)), strict=True)
    for ours, of_host, of_none in leaves:
        assert (ours.shape, ours.dtype) == (of_host.shape, of_host.dtype)
        assert (ours.ndim, ours.dtype) == (of_none.ndim, of_none.dtype)


@pytest.mark.parametrize("rows", [0, 2])
def test_empty_batches_run_too(rows):
    """Tracing does not meet what the compiler refuses."""
    names = ("recurrent.RNN", "decoding.beam_search", "sentence.log_prob", "ctc.ctc_loss")
    jax.block_until_ready(jax.jit(lambda: [SURFACE[name](rows) for name in names])())


def test_labels_without_a_symbol_are_aligned_and_scored():
    logits, labels = np.zeros((2, 3, 4), np.float32), np.zeros((2, 0), int)
    found = ROOMS["ctc"].ctc_align(logits, [3, 1], labels, [0, 0])
    np.testing.assert_allclose(found.score, -np.log(4) * np.array([3, 1]), rtol=1e-6)
    np.testing.assert_allclose(
        ROOMS["ctc"].ctc_loss(logits, [3, 1], labels, [0, 0]).nats, -found.score, rtol=1e-6
    )


def test_lists_and_whole_rows_are_taken_as_arrays():
    ctc = ROOMS["ctc"]
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    whole = ctc.ctc_loss(logits, np.array([4, 4]), np.array([[1, 2], [2, 2]]), np.array([2, 2]))
    lists = ctc.ctc_loss(logits.tolist(), None, [[1, 2], [2, 2]], None)
    np.testing.assert_array_equal(whole.nats, lists.nats)
    for a, b in zip(ctc.ctc_greedy(logits, [4, 4]), ctc.ctc_greedy(logits, None), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="labels must be integers, got float32"):
        ctc.ctc_loss(logits, None, [[1.5], [2.0]], None)
    images = np.zeros((2, 3, 4, 2), np.float32)
    net = ROOMS["recurrent"].MDRNN(3)
    variables = jax.jit(net.init)(jax.random.key(0), images)
    found, expected = jax.jit(
        lambda variables: [net.apply(variables, x)[1] for x in (images.tolist(), images)]
    )(variables)
    np.testing.assert_array_equal(found, expected)
