"""What a word's letters say of it: a vector from its characters."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ..convolution.temporal import pool_over_time
from ..recurrent.stack import DeepRecurrent

SPELLINGS = ("convolution", "recurrent")
SIZE = 3  # characters that a kernel covers


class Spelling(nn.Module):
    """Vectors of words from the embeddings c_i of their characters.

        convolution   max over i of relu(K_1 c_(i-1) + K_2 c_i + K_3 c_(i+1) + b)
        recurrent     [h ahead at the last character; h behind at the first], h of an LSTM

    characters: their number, 0 is padding. width: of an embedding. features: of the vector; even
    for "recurrent", half of them are of each direction. dtype: that of the products.

    Sources: Ma and Hovy 2016, after dos Santos and Zadrozny 2014 (the rectifier is not in them);
    Lample et al. 2016. "recurrent" takes many times as long.
    """

    characters: int
    width: int = 25
    features: int = 50
    kind: str = "convolution"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, spellings):
        """Return vectors float [B, T, F] of spellings int32 [B, T, L], zero for an empty word.

        0 stands after the last character of a word, and nowhere else.
        """
        if self.kind not in SPELLINGS:
            raise ValueError(f"kind must be one of {', '.join(SPELLINGS)}, got {self.kind!r}")
        words = spellings.reshape(-1, spellings.shape[-1])
        read = self._convolve if self.kind == "convolution" else self._recur
        table = nn.Embed(self.characters, self.width, dtype=self.dtype, name="embed")
        vectors = read(words, (words != 0).sum(axis=1), table)
        return vectors.reshape(*spellings.shape[:-1], self.features)

    def _convolve(self, words, lengths, table):
        """Vectors [N, F] of words [N, L].

        Each K_i c is a row of a table of all characters: three rows are added, at a quarter of the
        time of a convolution of the embeddings.
        """
        shape = (SIZE, self.width, self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        rows = jnp.where(jnp.arange(self.characters)[:, None] == 0, 0, table.embedding)
        tables = rows.astype(self.dtype) @ kernel.astype(self.dtype)
        beside = jnp.pad(words, ((0, 0), (SIZE // 2, SIZE // 2)))
        length = words.shape[1]
        sums = sum(tables[i][beside[:, i : i + length]] for i in range(SIZE))
        return pool_over_time(nn.relu(sums + bias.astype(self.dtype)), lengths)

    def _recur(self, words, lengths, table):
        """Vectors [N, F] of words [N, L]."""
        if self.features % 2:
            raise ValueError(f"a recurrent spelling needs even features, got {self.features}")
        layer = DeepRecurrent(self.features // 2, dtype=self.dtype, name="layer")
        ((ahead, behind),), _ = layer(table(words), lengths)
        return jnp.concatenate([ahead.h, behind.h], axis=-1)
