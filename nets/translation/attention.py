"""Attention: a mean of memory vectors, weighted by how well each one matches the query.

Shapes: B batch rows, Q queries of a row (decoder steps, or hypotheses of a search, which share the
memory), S positions of the memory, H features of a query, M features of the memory.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from ..masking import masked_softmax

SCORES = ("additive", "dot", "general")


class Memory(NamedTuple):
    """The memory that queries attend to, made once per batch by `Attention.read`.

    values: [B, S, M]. keys: [B, S, A], compared with the queries. valid: bool [B, S].
    """

    values: Array
    keys: Array
    valid: Array


class Attention(nn.Module):
    """context = sum_s a_s m_s, a = softmax over s of score(q, m_s).

        additive    v . tanh(W q + U m_s + b)         Bahdanau, Cho and Bengio 2015
        dot         q . m_s, for H = M                Luong, Pham and Manning 2015
        general     q . W m_s                         Luong, Pham and Manning 2015

    window: D > 0 restricts the softmax to s with |s - p| <= D and multiplies a_s by
    exp(-(s - p)^2 / (2 (D / 2)^2)) without normalising again: the local attention of Luong et al.;
    0 attends everywhere. centre: "predictive", p = (length - 1) sigmoid(v . tanh(W q)); or
    "monotonic", p = the position of the query, which the caller passes.

    features: A, the width of the comparison for "additive"; the other scores compare H features.
    query_features: H. dtype: dtype of the products.

        >>> import jax
        >>> values, valid = jnp.ones((2, 5, 4)), jnp.ones((2, 5), bool)
        >>> net = Attention("dot", features=4, query_features=4)
        >>> memory = net.apply({}, values, valid, method="read")
        >>> context, weights = net.apply({}, jnp.ones((2, 3, 4)), memory)
        >>> context.shape, weights.shape
        ((2, 3, 4), (2, 3, 5))
    """

    score: str
    features: int
    query_features: int
    window: int = 0
    centre: Literal["predictive", "monotonic"] = "predictive"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declare the dense layers."""
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {self.score!r}")
        if self.centre not in ("predictive", "monotonic") or self.window < 0:
            raise ValueError(
                "centre must be 'predictive' or 'monotonic' and window 0 or more, "
                f"got {self.centre!r} and {self.window}"
            )
        plain = {"use_bias": False, "dtype": self.dtype}
        if self.score == "additive":
            self.key = nn.Dense(self.features, dtype=self.dtype)
            self.query = nn.Dense(self.features, **plain)
            self.energy = nn.Dense(1, **plain)
        elif self.score == "general":
            self.key = nn.Dense(self.query_features, **plain)
        if self.window and self.centre == "predictive":
            self.place = nn.Dense(self.query_features, **plain)
            self.place_energy = nn.Dense(1, **plain)

    def read(self, values: Array, valid: Array) -> Memory:
        """Return the memory of values float [B, S, M]; valid: bool [B, S]."""
        values = jnp.where(valid[..., None], values, 0)
        if self.score == "dot" and values.shape[-1] != self.query_features:
            raise ValueError(
                f"dot attention needs values of the query's width, {self.query_features}, "
                f"got shape {values.shape}"
            )
        return Memory(values, values if self.score == "dot" else self.key(values), valid)

    def __call__(
        self, query: Array, memory: Memory, position: Array | None = None
    ) -> tuple[Array, Array]:
        """Return (context [B, Q, M], weights float32 [B, Q, S]).

        query: [B, Q, H]. position: int [Q] or [B, Q], the decoder step of each query, for monotonic
        local attention. Raises ValueError if that is missing.
        """
        if self.score == "additive":
            compared = jnp.tanh(self.query(query)[:, :, None] + memory.keys[:, None])
            scores = self.energy(compared)[..., 0]
        else:
            query = query.astype(self.dtype)
            scores = jnp.einsum("bqh,bsh->bqs", query, memory.keys.astype(self.dtype))
        valid = memory.valid[:, None]
        window = jnp.ones((1, 1, 1), jnp.float32)
        if self.window:
            offset = jnp.arange(valid.shape[-1]) - self._centre(query, memory, position)[..., None]
            valid = valid & (jnp.abs(offset) <= self.window)
            window = jnp.exp(-2 * (offset / self.window) ** 2)
        weights = masked_softmax(scores.astype(jnp.float32), valid) * window
        values = memory.values.astype(self.dtype)
        return jnp.einsum("bqs,bsm->bqm", weights.astype(self.dtype), values), weights

    def _centre(self, query: Array, memory: Memory, position: Array | None) -> Array:
        """Centre p of the window of each query, float32 [B, Q]."""
        if self.centre == "predictive":
            last = jnp.maximum(memory.valid.sum(axis=-1) - 1, 0)[:, None]
            energy = self.place_energy(jnp.tanh(self.place(query)))[..., 0]
            return last * nn.sigmoid(energy.astype(jnp.float32))
        if position is None:
            raise ValueError("monotonic attention needs the positions of the queries")
        return jnp.broadcast_to(position, query.shape[:2])
