"""Zoneout: units of a carry that keep their values.

Source: Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations",
2017.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp


def zoneout_rates(zoneout: float | Sequence[float], carry: Any) -> tuple[float, ...]:
    """Rate of each leaf of a carry; () if all are zero."""
    leaves = len(jax.tree.leaves(carry))
    rates = tuple(zoneout) if isinstance(zoneout, Sequence) else (zoneout,) * leaves
    if len(rates) != leaves:
        raise ValueError(f"zoneout has {len(rates)} rates, but the carry has {leaves} leaves")
    return rates if any(rates) else ()


def zone_out(rates: tuple[float, ...], key: jax.Array | None, old: Any, new: Any) -> Any:
    """Keep the old value of each unit with the rate of its leaf; without a key, average."""
    leaves, structure = jax.tree.flatten(old)
    both = zip(rates, leaves, jax.tree.leaves(new), strict=True)
    if key is None:
        mixed = [rate * a + (1 - rate) * b for rate, a, b in both]
    else:
        keys = jax.random.split(key, len(leaves))
        mixed = [
            jnp.where(jax.random.bernoulli(k, rate, a.shape), a, b)
            for k, (rate, a, b) in zip(keys, both, strict=True)
        ]
    return jax.tree.unflatten(structure, mixed)
