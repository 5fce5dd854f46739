"""Sentence classifier: one class for a sequence of words."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.temporal import pool_over_time
from ..masking import masked_softmax, valid_steps
from .encoder import SentenceEncoder

POOLINGS = ("last", "mean", "max", "attention")


class SentenceClassifier(nn.Module):
    """logits = V pool_t h_t + b, with the encoder's state h_t at word t.

        last        forward h at the last word, backward h at the first word
        mean, max   over the words, for each unit
        attention   sum_t a_t h_t, a = softmax over t of v . tanh(U h_t + c)

    An empty sentence is pooled to zeros. Sources: Yang et al., "Hierarchical attention networks for
    document classification", 2016, for attention with one learned query v; Conneau et al. 2017
    compare the other poolings.
    """

    encoder: SentenceEncoder
    classes: int
    pooling: str = "last"

    def setup(self) -> None:
        """Declare the layers on top of the encoder."""
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}")
        dtype = self.encoder.dtype
        self.output = nn.Dense(self.classes, dtype=dtype)
        if self.pooling == "attention":
            self.key = nn.Dense(self.encoder.core.hidden, dtype=dtype)
            self.energy = nn.Dense(1, use_bias=False, dtype=dtype)

    def __call__(
        self,
        words: jax.Array,
        characters: jax.Array | None,
        lengths: jax.Array,
        *,
        train: bool = False,
    ) -> jax.Array:
        """Return logits float32 [B, classes] of words int32 [B, T].

        characters, lengths: see `SentenceEncoder`. train needs the random stream "dropout".
        """
        vectors = self.encoder.vectors(words, characters, train=train)
        return self.classify_vectors(vectors, lengths, train=train)

    def classify_vectors(
        self, vectors: jax.Array, lengths: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Return logits float32 [B, classes] of word vectors float [B, T, D]."""
        _, h = self.encoder.core(vectors, lengths, train=train)
        return self.output(self.pool(h, lengths)).astype(jnp.float32)

    def pool(self, h: jax.Array, lengths: jax.Array) -> jax.Array:
        """Return one vector [B, H] of states [B, T, H]."""
        if self.pooling in ("mean", "max"):
            return pool_over_time(h, lengths, self.pooling)
        if self.pooling == "attention":
            energy = self.energy(jnp.tanh(self.key(h)))[..., 0]
            valid = valid_steps(h.shape[:2], lengths)
            weights = masked_softmax(energy.astype(jnp.float32), valid)
            return jnp.einsum("bt,bth->bh", weights.astype(h.dtype), h)
        end = jnp.maximum(lengths - 1, 0)[:, None, None]
        last = jnp.take_along_axis(h, end, axis=1)[:, 0]
        core = self.encoder.core  # its backward direction ends at step 0
        forward = 0 if core.directions == "backward" else core.hidden
        return jnp.concatenate([last[:, :forward], h[:, 0, forward:]], axis=-1)


def evidence(
    network: SentenceClassifier,
    variables: Any,
    words: jax.Array,
    characters: jax.Array | None,
    lengths: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return (logits [B, classes], contribution float32 [B, T] of each word to the best class).

    The contribution is the dot product of the word's vector and the gradient of the margin with
    respect to it, where the margin is the best logit minus the mean of all; a positive one favours
    the class (gradient times input: Shrikumar et al. 2016, Li et al. 2016).
    """
    bound = network.bind(variables)
    vectors = bound.encoder.vectors(words, characters)

    def margin(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = bound.classify_vectors(vectors, lengths)
        return (logits.max(axis=1) - logits.mean(axis=1)).sum(), logits

    gradient, logits = jax.grad(margin, has_aux=True)(vectors)
    return logits, (gradient * vectors).sum(axis=-1).astype(jnp.float32)
