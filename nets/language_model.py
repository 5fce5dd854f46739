"""Recurrent language model: symbols in, logits of the next symbol out."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nets.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent import RNN

CELLS = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


class LanguageModel(nn.Module):
    """P(x_{t+1} given x_1 .. x_t) = softmax(V h_t + b), h_t of a deep recurrent network.

    The lectures' network of 100 tanh units is `cell="rnn", hidden=100, layers=1, embedding=0`.

    vocabulary: symbols. cell: "rnn", "gru" or "lstm". embedding: width of the learned embedding;
    0 feeds one-hot vectors. dropout: on the inputs of every layer but the first, and on the last
    layer's output. input_scale: standard deviation of the kernel that one-hot vectors meet, which
    picks a row of it for each symbol; 0 for LeCun's rule, which makes it smaller for more symbols.
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

    def setup(self):
        """Declare the embedding, the layers and the output product."""
        if self.embedding:
            self.embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        lecun = nn.initializers.lecun_normal()
        first = nn.initializers.normal(self.input_scale) if self.input_scale else lecun
        inits = [first, *[lecun] * (self.layers - 1)]
        self.recurrent = [
            RNN(CELLS[self.cell](self.hidden, dtype=self.dtype, kernel_init=init)) for init in inits
        ]
        self.output = nn.Dense(self.vocabulary, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)

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
            x = self.embed(tokens)
        else:
            x = jax.nn.one_hot(tokens, self.vocabulary, dtype=self.dtype)
        carries = []
        for layer, initial in zip(self.recurrent, carry, strict=True):
            final, x = layer(x, resets=resets, initial_carry=initial)
            x = self.drop(x, deterministic=not train)
            carries.append(final)
        return self.output(x).astype(jnp.float32), tuple(carries)
