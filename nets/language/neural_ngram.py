"""Feed-forward n-gram language model: the concatenated preceding words predict the next one."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..shapes import flatten_from


class NeuralNGram(nn.Module):
    """P(w_t given the n - 1 preceding words) = softmax(b + W x + U tanh(d + H x)).

    x: the concatenated embeddings of w_{t-n+1} .. w_{t-1}, `embedding` features each, from one
    table. d, H: Dense "hidden". b, U: Dense "output". W: Dense "direct", if `direct`.
    embedding_dropout: rate on x in training; dropout: rate on the hidden units. dtype: that of the
    products. Source: Bengio, Ducharme, Vincent and Jauvin, "A Neural Probabilistic Language Model",
    2003, which has no dropout.

    >>> model, contexts = NeuralNGram(vocabulary=50), jnp.zeros((2, 3), jnp.int32)
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), contexts)[0].shape
    (2, 50)
    """

    vocabulary: int
    hidden: int = 100
    embedding: int = 100
    direct: bool = False
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, contexts: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [..., V] for contexts int32 [..., n - 1], the nearest word last."""
        x = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype, name="embed")(contexts)
        x = flatten_from(x, contexts.ndim - 1)
        x = nn.Dropout(self.embedding_dropout)(x, deterministic=not train)
        h = nn.tanh(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        logits = nn.Dense(self.vocabulary, dtype=self.dtype, name="output")(h)
        if self.direct:
            options = {"use_bias": False, "dtype": self.dtype}
            logits += nn.Dense(self.vocabulary, name="direct", **options)(x)
        return logits.astype(jnp.float32)
