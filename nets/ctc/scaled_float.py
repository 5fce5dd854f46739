"""Numbers of float32 precision that neither underflow nor overflow, for long products.

A number is mantissa * 2 ** exponent. Sums and products need shifts, but no exponential and no
logarithm, so a sum is faster than log(exp(a) + exp(b)). A product of a thousand probabilities keeps
seven digits; a float32 logarithm of about -1000 keeps four digits of it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

MIN_EXPONENT = -(2**29)  # exponent of zero and of anything nearer to zero
MIN_LOG2 = -8192.0  # log2 of the smallest nonzero factor; 60,000 of them exceed 2 ** MIN_EXPONENT


class ScaledFloat(NamedTuple):
    """mantissa: float32, NaN or at least 0. exponent: int32 of the same shape."""

    mantissa: Array
    exponent: Array

    @classmethod
    def from_values(cls, values: Array) -> "ScaledFloat":
        """Convert values that are 0 or 1."""
        exponent = jnp.where(values.astype(bool), np.int32(0), np.int32(MIN_EXPONENT))
        return cls(values.astype(jnp.float32), exponent)

    @classmethod
    def from_log2(cls, log2: Array) -> "ScaledFloat":
        """Return 2 ** log2, for log2 float32 as returned by `clip_log2`."""
        zero, whole = log2 == -jnp.inf, jnp.floor(log2)
        return cls(
            jnp.where(zero, np.float32(0), jnp.exp2(log2 - whole)),
            jnp.where(zero, np.int32(MIN_EXPONENT), whole.astype(jnp.int32)),
        )

    def log(self) -> Array:
        """Return the natural logarithm, float32."""
        return jnp.log(self.mantissa) + self.exponent.astype(jnp.float32) * np.float32(np.log(2))


def clip_log2(log2: Array) -> Array:
    """Raise values below MIN_LOG2 to it, except for -inf, the logarithm of zero."""
    return jnp.where(log2 == -jnp.inf, log2, jnp.maximum(log2, MIN_LOG2))


def power_of_two(exponent: Array) -> Array:
    """Return 2 ** exponent as float32, exact; 0 below 2 ** -126. exponent: int32, at most 127."""
    bits = (jnp.maximum(exponent, -127) + 127) << 23
    return lax.bitcast_convert_type(bits, jnp.float32)


def add(a: ScaledFloat, b: ScaledFloat) -> ScaledFloat:
    """Return the sum; mantissas grow beyond 2, so call `multiply` after a few sums."""
    top = jnp.maximum(a.exponent, b.exponent)
    low, high = (x.mantissa * power_of_two(x.exponent - top) for x in (a, b))
    return ScaledFloat(low + high, top)


def multiply(a: ScaledFloat, b: ScaledFloat) -> ScaledFloat:
    """Return the product, normalised to a mantissa from 1 to 2, or zero."""
    mantissa = a.mantissa * b.mantissa
    shift = (lax.bitcast_convert_type(mantissa, jnp.int32) >> 23) - 127
    exponent = jnp.maximum(a.exponent + b.exponent + shift, MIN_EXPONENT)
    return ScaledFloat(mantissa * power_of_two(-shift), exponent)
