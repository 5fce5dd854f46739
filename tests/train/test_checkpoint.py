"""Checkpoints: which are kept, and what happens to damaged ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.conftest import batch_at
from train.checkpoint import (
    Checkpoints,
    best_first,
    checksum,
    first_readable,
    objectives,
    restore,
    restore_latest,
)
from train.config import ConfigError
from train.placement import Placement


@pytest.fixture
def made(regression, small_config):
    """Canonical state and window, one device; the kernel fills the largest file."""
    experiment = regression(small_config(), count_calls=True, features=2000)
    batch = {**batch_at(0), "y": np.zeros((8, 2000), np.float32)}
    return Placement(8, jax.devices()[:1]).init(experiment, 7, batch)


def saved(folder, made, objectives):
    """Folder with a checkpoint at each step 1, 2, ... whose params are multiplied by the step."""
    checkpoints = Checkpoints(folder)
    for step, objective in enumerate(objectives, start=1):
        checkpoints.save(step, at(made[0], step), made[1], objective)
    checkpoints.close()


def at(state, step):
    params = jax.tree.map(lambda p: p * step, state.params)
    return state.replace(step=jnp.int32(step), params=params)


def same(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(
        np.array_equal(jax.random.key_data(x), jax.random.key_data(y))
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        else np.array_equal(x, y) and x.dtype == y.dtype
        for x, y in pairs
    )


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize(
    ("values", "kept", "best"),
    [
        ([5.0, 1.0, 3.0, 4.0, 2.0], [2, 4, 5], 2),
        ([5.0, 4.0, 3.0, 2.0], [3, 4], 4),
        ([2.0, float("inf"), float("inf"), float("inf")], [1, 3, 4], 1),
    ],
)
def test_two_latest_and_the_best_are_kept(tmp_path, made, values, kept, best):
    saved(tmp_path / "c", made, values)
    assert steps_in(tmp_path / "c") == kept
    assert objectives(tmp_path / "c") == {step: values[step - 1] for step in kept}
    assert best_first(tmp_path / "c")[0] == best


def test_latest_is_restored_bit_for_bit(tmp_path, made):
    saved(tmp_path / "c", made, [1.0, 2.0])
    said = []
    ((state, window),) = restore_latest([tmp_path / "c"], [made], said.append)
    assert same(state, at(made[0], 2))
    assert same(window, made[1])
    assert not said


def test_no_checkpoint_gives_none(tmp_path, made):
    assert restore_latest([tmp_path / "c"], [made], print) is None
    assert best_first(tmp_path / "c") == []


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip, empty, lambda path: path.unlink()])
def test_damaged_latest_falls_back_with_a_warning_and_is_kept_aside(tmp_path, made, damage):
    folder, said = tmp_path / "c", []
    saved(folder, made, [2.0, 1.0])
    damage(largest_file(folder / "2"))
    ((state, _),) = restore_latest([folder], [made], said.append)
    assert same(state, at(made[0], 1))
    assert len(said) == 1
    assert said[0].startswith("checkpoint 2 is damaged (")
    assert "\n" not in said[0]
    assert len(list((tmp_path / "damaged-checkpoints").glob("2-*"))) == 1
    checkpoints = Checkpoints(folder)
    checkpoints.save(2, at(made[0], 2), made[1], 1.0)
    checkpoints.close()
    assert steps_in(folder) == [1, 2]
    truncate(largest_file(folder / "2"))
    assert restore_latest([folder], [made], said.append) is not None
    assert len(list((tmp_path / "damaged-checkpoints").glob("2-*"))) == 2


def test_every_file_of_a_checkpoint_may_be_lost_or_emptied(tmp_path, made):
    saved(tmp_path / "c", made, [2.0, 1.0])
    files = sorted(p for p in (tmp_path / "c" / "2").rglob("*") if p.is_file())
    assert len(files) > 5
    for i, path in enumerate(files):
        before = path.read_bytes()
        empty(path) if i % 2 else path.unlink()
        read = partial(restore, state=made[0], window=made[1])
        (state, _), damaged = first_readable(tmp_path / "c", [2, 1], read, str)
        assert same(state, at(made[0], 1 if damaged else 2)), path
        path.write_bytes(before)


def test_checkpoints_of_another_network_are_left_alone(tmp_path, made, regression, small_config):
    saved(tmp_path / "c", made, [2.0, 1.0])
    other = regression(small_config(), features=7)
    batch = {**batch_at(0), "y": np.zeros((8, 7), np.float32)}
    like = Placement(8, jax.devices()[:1]).init(other, 7, batch)
    with pytest.raises(ConfigError, match=r"no checkpoint in .* can be read"):
        restore_latest([tmp_path / "c"], [like], str)
    assert steps_in(tmp_path / "c") == [1, 2]
    assert restore_latest([tmp_path / "c"], [made], print) is not None


def test_remains_of_a_killed_save_are_deleted(tmp_path, made):
    saved(tmp_path / "c", made, [1.0])
    left = tmp_path / "c" / "5.orbax-checkpoint-tmp"
    left.mkdir()
    Checkpoints(tmp_path / "c").close()
    assert not left.exists()
    assert steps_in(tmp_path / "c") == [1]


def test_saving_a_step_twice_is_an_error(tmp_path, made):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(3, *made)
    with pytest.raises(RuntimeError, match="checkpoint 3 was not written"):
        checkpoints.save(3, *made)
    checkpoints.close()


def test_checksum_sees_every_bit_and_every_swap():
    tree = {"a": jnp.arange(6, dtype=jnp.float32), "b": jnp.array([1, 2], jnp.int32)}
    whole = int(checksum(tree))
    for i in range(6):
        bits = tree["a"].view(jnp.int32).at[i].add(1).view(jnp.float32)
        assert int(checksum({**tree, "a": bits})) != whole
    assert int(checksum({**tree, "b": tree["b"][::-1]})) != whole
    assert int(checksum({"a": tree["a"][::-1], "b": tree["b"]})) != whole
    assert int(checksum(jax.device_put(tree, jax.devices()[1]))) == whole
    flags = jnp.array([True, False])
    assert int(checksum({"a": flags})) != int(checksum({"a": ~flags}))
