"""The scan over time."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nets.cells import Cell


class RNN(nn.Module):
    """Run a cell over time by `lax.scan`, with the input product taken out of the loop.

    Equals, for x [B, T, D] and resets [B, T]:

        carry = initial_carry, or zeros
        for t in range(T):
            carry = where(resets[:, t], zeros, carry)
            carry, outputs[:, t] = cell(carry, x[:, t])
    """

    cell: Cell

    def __call__(self, x, initial_carry=None, resets=None):
        """Return (carry, outputs).

        x: float [B, T, D]. initial_carry: the cell's carry for [B]; zeros when None.
        resets: [B, T], non-zero where row b starts afresh before step t; none when None.
        outputs: float32 [B, T, H]; carry: the one after the last step.
        Raises ValueError when x, resets or the carry has another shape.
        """
        if x.ndim != 3:
            raise ValueError(f"x must be [batch, time, features], got shape {x.shape}")
        if resets is not None and resets.shape != x.shape[:2]:
            raise ValueError(f"resets must be {x.shape[:2]} like x {x.shape}, got {resets.shape}")
        zeros = self.cell.initialize_carry(jax.random.key(0), (x.shape[0], x.shape[2]))
        carry = zeros if initial_carry is None else initial_carry
        wanted, given = jax.tree.map(jnp.shape, zeros), jax.tree.map(jnp.shape, carry)
        if wanted != given:
            raise ValueError(f"initial_carry must have the shapes {wanted}, got {given}")

        def step(cell, carry, t):
            inputs, reset = t
            if reset is not None:
                carry = jax.tree.map(
                    lambda zero, c: jnp.where(reset[:, None] != 0, zero, c), zeros, carry
                )
            return cell.step(carry, inputs)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        projected = self.cell.project(jnp.swapaxes(x, 0, 1))
        carry, outputs = scan(
            self.cell, carry, (projected, None if resets is None else jnp.swapaxes(resets, 0, 1))
        )
        return carry, jnp.swapaxes(outputs, 0, 1)
