"""Sentence classifier: many words to one class."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.temporal import pool_over_time
from ..masking import masked_softmax, valid_steps
from .encoder import SentenceEncoder

POOLINGS = ("last", "mean", "max", "attention")


class SentenceClassifier(nn.Module):
    """logits = V pool_t h_t + b, h_t the encoder's state at word t.

        last        h of the last word ahead, and of the first behind
        mean, max   over the words, unit by unit
        attention   sum_t a_t h_t, a = softmax over t of v . tanh(U h_t + c)

    An empty sentence is pooled to zeros. Sources: Yang et al., "Hierarchical attention networks for
    document classification", 2016, for attention by one learned query v; Conneau et al. 2017
    compare the others.
    """

    encoder: SentenceEncoder
    classes: int
    pooling: str = "last"

    def setup(self):
        """Declare what comes after the encoder."""
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}")
        dtype = self.encoder.dtype
        self.output = nn.Dense(self.classes, dtype=dtype)
        if self.pooling == "attention":
            self.key = nn.Dense(self.encoder.core.hidden, dtype=dtype)
            self.energy = nn.Dense(1, use_bias=False, dtype=dtype)

    def __call__(self, words, spellings, lengths, *, train: bool = False):
        """Return logits float32 [B, classes] of words int32 [B, T].

        spellings, lengths: as the encoder takes them. train needs the random stream "dropout".
        """
        vectors = self.encoder.vectors(words, spellings, train=train)
        return self.read(vectors, lengths, train=train)

    def read(self, vectors, lengths, *, train: bool = False):
        """Return logits float32 [B, classes] of the words' vectors float [B, T, D]."""
        _, h = self.encoder.core(vectors, lengths, train=train)
        return self.output(self.pool(h, lengths)).astype(jnp.float32)

    def pool(self, h, lengths):
        """One vector [B, H] of states [B, T, H]."""
        if self.pooling in ("mean", "max"):
            return pool_over_time(h, lengths, self.pooling)
        if self.pooling == "attention":
            energy = self.energy(jnp.tanh(self.key(h)))[..., 0]
            valid = valid_steps(h.shape[:2], lengths)
            weights = masked_softmax(energy.astype(jnp.float32), valid)
            return jnp.einsum("bt,bth->bh", weights.astype(h.dtype), h)
        end = jnp.maximum(lengths - 1, 0)[:, None, None]
        last = jnp.take_along_axis(h, end, axis=1)[:, 0]
        core = self.encoder.core  # what reads from the end is done at 0
        ahead = 0 if core.directions == "backward" else core.hidden
        return jnp.concatenate([last[:, :ahead], h[:, 0, ahead:]], axis=-1)


def evidence(network: SentenceClassifier, variables, words, spellings, lengths):
    """Return (logits [B, classes], parts float32 [B, T]): what each word says for the best class.

    A part is the word's vector times the gradient, by it, of the best logit less the mean of all:
    positive speaks for the class (gradient times input: Shrikumar et al. 2016, Li et al. 2016).
    """
    bound = network.bind(variables)
    vectors = bound.encoder.vectors(words, spellings)

    def lead(vectors):
        logits = bound.read(vectors, lengths)
        return (logits.max(axis=1) - logits.mean(axis=1)).sum(), logits

    gradient, logits = jax.grad(lead, has_aux=True)(vectors)
    return logits, (gradient * vectors).sum(axis=-1).astype(jnp.float32)
