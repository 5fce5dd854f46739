"""Generating sequences from any step function."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.jit, static_argnums=(0,), static_argnames=("length",))
def sample(step_fn, parameters, carry, tokens, key, *, length: int, temperature=1.0):
    """Draw `length` tokens one after the other, each fed back as the next input.

    step_fn(parameters, tokens int32 [N], carry) -> (logits float [N, V], carry); a stable function,
    since it is compiled in. tokens: int32 [N], the first inputs. temperature: logits are divided by
    it; 0 takes the most probable token. Returns int32 [N, length].
    """

    def draw(state, key):
        tokens, carry = state
        logits, carry = step_fn(parameters, tokens, carry)
        scaled = logits / jnp.maximum(temperature, 1e-6)
        tokens = jnp.where(
            temperature > 0, jax.random.categorical(key, scaled), jnp.argmax(logits, axis=-1)
        ).astype(jnp.int32)
        return (tokens, carry), tokens

    _, drawn = jax.lax.scan(draw, (tokens, carry), jax.random.split(key, length))
    return jnp.swapaxes(drawn, 0, 1)
