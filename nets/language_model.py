"""Recurrent language model: symbols in, logits of the next symbol out."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nets.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent import RNN

CELLS = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


def plus_minus(limit: float):
    """Initialiser that is uniform in -limit to limit."""

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return draw


class LanguageModel(nn.Module):
    """P(x_{t+1} given x_1 .. x_t) = softmax(V h_t + b), h_t of a deep recurrent network.

    The lectures' network of 100 tanh units is `cell="rnn", hidden=100, layers=1, embedding=0`.

    vocabulary: symbols. cell: "rnn", "gru" or "lstm". embedding: width of the learned embedding;
    0 feeds one-hot vectors. dropout: on the inputs of every layer but the first, and on the last
    layer's output. embedding_dropout: on the embeddings. tied: V is the embedding's table, through
    a product to its width where h_t is of another one (Inan et al. 2017, Press and Wolf 2017).
    input_scale: standard deviation of the kernel that one-hot vectors meet, which picks a row of it
    for each symbol; 0 for LeCun's rule, which makes it smaller for more symbols. init_range: where
    kernels and embedding start, uniform in +- init_range (Zaremba et al. 2014); 0: by their rules.
    dtype: that of the products.
    """

    vocabulary: int
    cell: str = "lstm"
    hidden: int = 128
    layers: int = 1
    embedding: int = 0
    dropout: float = 0.0
    input_scale: float = 0.0
    dtype: Any = jnp.float32
    embedding_dropout: float = 0.0
    tied: bool = False
    init_range: float = 0.0

    def setup(self):
        """Declare the embedding, the layers and the output product."""
        if self.tied and not self.embedding:
            raise ValueError("tied needs an embedding, got embedding 0")
        lecun, inits = nn.initializers.lecun_normal(), {}
        if self.init_range:
            lecun = plus_minus(self.init_range)
            inits = {"recurrent_init": lecun}
        if self.embedding:
            size, own = (self.vocabulary, self.embedding), nn.Embed.embedding_init
            start = lecun if self.init_range else own
            self.embed = nn.Embed(*size, dtype=self.dtype, embedding_init=start)
        first = nn.initializers.normal(self.input_scale) if self.input_scale else lecun
        self.recurrent = [
            RNN(CELLS[self.cell](self.hidden, dtype=self.dtype, kernel_init=init, **inits))
            for init in [first, *[lecun] * (self.layers - 1)]
        ]
        if self.tied:
            self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))
            if self.embedding != self.hidden:
                self.narrow = nn.Dense(
                    self.embedding, use_bias=False, kernel_init=lecun, dtype=self.dtype
                )
        else:
            self.output = nn.Dense(self.vocabulary, kernel_init=lecun, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.drop_embeddings = nn.Dropout(self.embedding_dropout)

    @nn.nowrap
    def initialize_carry(self, batch: int):
        """Zero carry of every layer, for `batch` rows."""
        cell = CELLS[self.cell](self.hidden, parent=None)
        zeros = cell.initialize_carry(jax.random.key(0), (batch, self.hidden))
        return tuple(zeros for _ in range(self.layers))

    def __call__(self, tokens, carry, resets=None, *, train: bool = False):
        """Return (logits float32 [B, T, V], carry).

        tokens: int32 [B, T]. carry: as `initialize_carry`, or what an earlier call returned.
        resets: [B, T], non-zero where a row starts afresh, or None.
        """
        if self.embedding:
            x = self.drop_embeddings(self.embed(tokens), deterministic=not train)
        else:
            x = jax.nn.one_hot(tokens, self.vocabulary, dtype=self.dtype)
        carries = []
        for layer, initial in zip(self.recurrent, carry, strict=True):
            final, x = layer(x, resets=resets, initial_carry=initial)
            x = self.drop(x, deterministic=not train)
            carries.append(final)
        return self._logits(x).astype(jnp.float32), tuple(carries)

    def _logits(self, x):
        if not self.tied:
            return self.output(x)
        narrowed = x if self.embedding == self.hidden else self.narrow(x)
        return self.embed.attend(narrowed) + self.bias
