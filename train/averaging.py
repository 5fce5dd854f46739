"""Moving average of the parameters, which evaluation uses in their place."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class AverageState(NamedTuple):
    """Number of updates, int32, and the averaged parameters, a tree like the parameters."""

    number: jax.Array
    averaged_params: Any


def average_params(decay: float) -> optax.GradientTransformation:
    """Keep an exponential moving average of the parameters; the updates pass unchanged.

    It must be the last of a chain. The t-th update moves the average towards the new parameters by
    the fraction max(1 - decay, 9 / (9 + t)), so that early parameters are soon forgotten.
    `optax.ema` averages updates instead. `TrainState.variables` reads the average. Source: Polyak
    and Juditsky 1992.
    """

    def init(params: Any) -> AverageState:
        return AverageState(jnp.int32(0), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: AverageState, params: Any) -> tuple[Any, AverageState]:
        number = optax.safe_increment(state.number)
        rate = jnp.maximum(1 - decay, 9 / (9 + number))
        new = optax.apply_updates(params, updates)

        def move(average: jax.Array, to: jax.Array) -> jax.Array:
            return average + rate * (to - average)  # exactly `average` when both are equal

        return updates, AverageState(number, jax.tree.map(move, state.averaged_params, new))

    return optax.GradientTransformation(init, update)
