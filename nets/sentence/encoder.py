"""Sentence encoder, shared by taggers and classifiers: a state for each word of a sentence."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.stack import DeepRecurrent
from .char_encoder import CharEncoder

UNKNOWN = 1


class SentenceEncoder(nn.Module):
    """h = core([E w; characters of w, encoded]) for the words w of a sentence.

    core: the recurrent layers. words: number of word ids; 0 is padding and 1 an unknown word
    (likewise for characters). width: of a word embedding. spelling: encodes the characters of each
    word (the name is part of parameter paths); None for words only. word_dropout: probability that
    training replaces a word by the unknown word, but keeps its characters. dtype: that of the
    embedding.

    Sources: Huang, Xu and Yu 2015; Lample et al. 2016; Ma and Hovy 2016.
    """

    core: DeepRecurrent
    words: int
    width: int = 100
    spelling: CharEncoder | None = None
    word_dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declare the word embedding."""
        self.embed = nn.Embed(self.words, self.width, dtype=self.dtype)

    def __call__(
        self,
        words: jax.Array,
        characters: jax.Array | None,
        lengths: jax.Array,
        *,
        train: bool = False,
    ) -> tuple[Any, jax.Array]:
        """Return (carries by layer, states float [B, T, H], 0 at padding).

        words: int32 [B, T]. characters: int32 [B, T, L], or None without a character encoder.
        lengths: int [B], number of words in each sentence. Raises ValueError for arguments that do
        not match each other or the encoder.
        """
        return self.core(self.vectors(words, characters, train=train), lengths, train=train)

    def vectors(
        self, words: jax.Array, characters: jax.Array | None, *, train: bool = False
    ) -> jax.Array:
        """Return the inputs float [B, T, D] of the recurrent layers."""
        if (characters is None) != (self.spelling is None):
            raise ValueError(
                "characters must be given if and only if there is a character encoder: got "
                f"{'none' if characters is None else 'characters'}"
            )
        if train and self.word_dropout:
            draw = jax.random.bernoulli(self.make_rng("dropout"), self.word_dropout, words.shape)
            words = jnp.where(draw, UNKNOWN, words)
        x = self.embed(words)
        if self.spelling is None or characters is None:
            return x
        if characters.shape[:-1] != words.shape:
            raise ValueError(
                f"characters must have shape {[*words.shape, 'characters']}, "
                f"got {list(characters.shape)}"
            )
        return jnp.concatenate([x, self.spelling(characters)], axis=-1)
