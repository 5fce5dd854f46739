"""The state of a run: only arrays, so that it is donated, sharded and saved as one tree."""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike

from .task import Batch, Experiment, initial_carry


class TrainState(struct.PyTreeNode):
    """Input and output of a training step.

    step: int32, optimizer steps taken. params: trainable variables. opt_state: Optax's state.
    model_state: the model's other collections. carry: recurrent state across batches, leading axis
    B, or (). key: the run's random key, which never changes.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    model_state: Any
    carry: Any
    key: jax.Array

    @classmethod
    def start(
        cls,
        variables: Mapping[str, Any],
        optimizer: optax.GradientTransformation,
        carry: Any,
        key: jax.Array,
    ) -> "TrainState":
        """State before the first step, from a model's variables."""
        params = variables["params"]
        model_state = {name: tree for name, tree in variables.items() if name != "params"}
        return cls(jnp.int32(0), params, optimizer.init(params), model_state, carry, key)

    @property
    def variables(self) -> dict[str, Any]:
        """Variables for evaluation, with the averaged parameters if the optimizer keeps them."""
        params = optax.tree.get(self.opt_state, "averaged_params", self.params)
        return {"params": params, **self.model_state}


def stream(key: jax.Array, name: str, step: ArrayLike) -> jax.Array:
    """Random key of a named stream at a step: all randomness is (seed, stream, step)."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)


def initial_keys(seed: ArrayLike) -> dict[str, jax.Array]:
    """Random keys of Flax's `init` that give the initial parameters of a run with this seed."""
    return {"params": stream(jax.random.key(seed), "params", 0)}


def init_state(experiment: Experiment, seed: ArrayLike, batch: Batch) -> TrainState:
    """Build the state before the first step; call it under jit, which keeps buffers distinct."""
    key = jax.random.key(seed)
    task = experiment.task
    variables = task.init(initial_keys(seed), batch)
    return TrainState.start(variables, experiment.optimizer, initial_carry(task, batch), key)
