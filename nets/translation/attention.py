"""Attention: a mean of memory rows, weighted by how well each fits the query.

Shapes: B batch rows, Q queries of a row (steps of a decoder, or hypotheses of a search, which share
the memory), S memory rows, H features of a query, M of the memory.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..masking import masked_softmax

SCORES = ("additive", "dot", "general")


class Memory(NamedTuple):
    """What queries are answered from, made once for a batch by `Attention.read`.

    values [B, S, M]; keys [B, S, A], what queries are compared with; valid bool [B, S].
    """

    values: jax.Array
    keys: jax.Array
    valid: jax.Array


class Attention(nn.Module):
    """context = sum_s a_s m_s, a = softmax over s of score(q, m_s).

        additive    v . tanh(W q + U m_s + b)         Bahdanau, Cho and Bengio 2015
        dot         q . m_s, for H = M                Luong, Pham and Manning 2015
        general     q . W m_s                         the same

    window: D > 0 looks only at s with |s - p| <= D, and multiplies a_s by
    exp(-(s - p)^2 / (2 (D / 2)^2)), without dividing by the sum again: the local attention of Luong
    et al. centre: "predictive", p = (length - 1) sigmoid(v . tanh(W q)); or "monotonic", p = the
    number of the query, which the caller gives.

    features: A, the width of the comparison, for "additive"; the others take that of the query.
    query_features: H. dtype: that of the products.
    """

    score: str
    features: int
    query_features: int
    window: int = 0
    centre: Literal["predictive", "monotonic"] = "predictive"
    dtype: Any = jnp.float32

    def setup(self):
        """Declare the products."""
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

    def read(self, values, valid) -> Memory:
        """Make the memory of values float [B, S, M]; valid bool [B, S]."""
        values = jnp.where(valid[..., None], values, 0)
        if self.score == "dot" and values.shape[-1] != self.query_features:
            raise ValueError(
                f"dot needs memory as wide as the query, {self.query_features}, "
                f"got shape {values.shape}"
            )
        return Memory(values, values if self.score == "dot" else self.key(values), valid)

    def __call__(self, query, memory: Memory, number=None):
        """Return (context [B, Q, M], weights float32 [B, Q, S]).

        query: [B, Q, H]. number: int [Q] or [B, Q], which step of the decoder each query is, for
        monotonic local attention.
        """
        if self.score == "additive":
            compared = jnp.tanh(self.query(query)[:, :, None] + memory.keys[:, None])
            scores = self.energy(compared)[..., 0]
        else:
            query = query.astype(self.dtype)
            scores = jnp.einsum("bqh,bsh->bqs", query, memory.keys.astype(self.dtype))
        valid = memory.valid[:, None]
        near = jnp.ones(())
        if self.window:
            away = jnp.arange(valid.shape[-1]) - self._centre(query, memory, number)[..., None]
            valid = valid & (jnp.abs(away) <= self.window)
            near = jnp.exp(-2 * (away / self.window) ** 2)
        weights = masked_softmax(scores.astype(jnp.float32), valid) * near
        low = memory.values.astype(self.dtype)
        return jnp.einsum("bqs,bsm->bqm", weights.astype(self.dtype), low), weights

    def _centre(self, query, memory: Memory, number):
        """Place p that each query looks at, float32 [B, Q]."""
        if self.centre == "predictive":
            last = jnp.maximum(memory.valid.sum(axis=-1) - 1, 0)[:, None]
            energy = self.place_energy(jnp.tanh(self.place(query)))[..., 0]
            return last * nn.sigmoid(energy.astype(jnp.float32))
        if number is None:
            raise ValueError("monotonic attention needs the numbers of the queries")
        return jnp.broadcast_to(number, query.shape[:2])
