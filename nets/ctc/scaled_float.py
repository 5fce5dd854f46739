"""Numbers of float32 precision that neither underflow nor overflow, for products of many factors.

A number is mantissa * 2 ** exponent. Sums and products take shifts and no exponential or logarithm,
so a sum is faster than log(exp(a) + exp(b)), and a product of a thousand probabilities keeps seven
digits, where float32 logarithms of about -1000 keep four digits of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LEAST = -(2**29)  # exponent of zero and of what is nearer to it
SMALLEST = -8192.0  # log2 of the least factor above zero: 60,000 of them are above 2 ** LEAST


class Wide(NamedTuple):
    """mantissa float32, NaN for no number and else not negative; exponent int32 of its shape."""

    mantissa: jax.Array
    exponent: jax.Array

    @classmethod
    def of(cls, values):
        """0.0 and 1.0 as they are."""
        return cls(values.astype(jnp.float32), jnp.where(values > 0, 0, LEAST))

    @classmethod
    def from_log2(cls, log2):
        """2 ** log2, float32 as `clip_log2` gives it."""
        zero, whole = log2 == -jnp.inf, jnp.floor(log2)
        return cls(
            jnp.where(zero, 0.0, jnp.exp2(log2 - whole)),
            jnp.where(zero, LEAST, whole.astype(jnp.int32)),
        )

    def log(self):
        """Natural logarithm, float32."""
        return jnp.log(self.mantissa) + self.exponent * np.float32(np.log(2))


def clip_log2(log2):
    """What is below SMALLEST raised to it, but for -inf, the logarithm of zero."""
    return jnp.where(log2 == -jnp.inf, log2, jnp.maximum(log2, SMALLEST))


def power_of_two(exponent):
    """2 ** exponent as float32, exact; 0 below 2 ** -126. exponent: int32, at most 127."""
    bits = (jnp.maximum(exponent, -127) + 127) << 23
    return lax.bitcast_convert_type(bits, jnp.float32)


def add(a: Wide, b: Wide) -> Wide:
    """Sum; its mantissa may be larger than 2, so that `multiply` has to follow some sums."""
    top = jnp.maximum(a.exponent, b.exponent)
    low, high = (x.mantissa * power_of_two(x.exponent - top) for x in (a, b))
    return Wide(low + high, top)


def multiply(a: Wide, b: Wide) -> Wide:
    """Product, its mantissa from 1 to 2, or zero."""
    mantissa = a.mantissa * b.mantissa
    shift = (lax.bitcast_convert_type(mantissa, jnp.int32) >> 23) - 127
    exponent = jnp.maximum(a.exponent + b.exponent + shift, LEAST)
    return Wide(mantissa * power_of_two(-shift), exponent)
