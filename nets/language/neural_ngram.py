"""Feed-forward n-gram language model: the words before, side by side, predict the next one."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn


class NeuralNGram(nn.Module):
    """P(w_t given the n - 1 words before) = softmax(b + W x + U tanh(d + H x)).

    x: the embeddings of w_{t-n+1} .. w_{t-1} side by side, each of `embedding` features, from one
    table. d, H: Dense "hidden". b, U: Dense "output". W: Dense "direct", where `direct` is True.
    embedding_dropout: of x in training; dropout: of the hidden units. dtype: that of the products.
    Source: Bengio, Ducharme, Vincent and Jauvin, "A Neural Probabilistic Language Model", 2003;
    the dropouts are not in it.
    """

    vocabulary: int
    hidden: int = 100
    embedding: int = 100
    direct: bool = False
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, contexts, *, train: bool = False):
        """Logits float32 [..., V] of contexts int32 [..., n - 1], the nearest word last."""
        x = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype, name="embed")(contexts)
        x = x.reshape(*contexts.shape[:-1], -1)
        x = nn.Dropout(self.embedding_dropout)(x, deterministic=not train)
        h = nn.tanh(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        logits = nn.Dense(self.vocabulary, dtype=self.dtype, name="output")(h)
        if self.direct:
            options = {"use_bias": False, "dtype": self.dtype}
            logits += nn.Dense(self.vocabulary, name="direct", **options)(x)
        return logits.astype(jnp.float32)
