"""A state for every word of a sentence: what taggers and classifiers of sentences share."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.stack import DeepRecurrent
from .char_encoder import Spelling

UNKNOWN = 1


class SentenceEncoder(nn.Module):
    """h = core([E w; spelling of w]) for the words w of a sentence.

    core: the layers that read the sentence. words: their number; ids are 0 for padding, 1 for what
    is unknown, in spellings as well. width: of a word's embedding. spelling: what reads the
    characters; None, none does. word_dropout: probability that a word is read as unknown in
    training, its spelling kept. dtype: that of the embedding.

    Sources: Huang, Xu and Yu 2015; Lample et al. 2016; Ma and Hovy 2016.
    """

    core: DeepRecurrent
    words: int
    width: int = 100
    spelling: Spelling | None = None
    word_dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self):
        """Declare the table of words."""
        self.embed = nn.Embed(self.words, self.width, dtype=self.dtype)

    def __call__(self, words, spellings, lengths, *, train: bool = False):
        """Return (carries by layer, states float [B, T, H], 0 at padding).

        words: int32 [B, T]. spellings: int32 [B, T, L], or None where no spelling is read. lengths:
        int [B], of which sentence they are the words. Raises ValueError for what does not fit.
        """
        return self.core(self.vectors(words, spellings, train=train), lengths, train=train)

    def vectors(self, words, spellings, *, train: bool = False):
        """What the core reads of each word: float [B, T, D]."""
        if (spellings is None) != (self.spelling is None):
            raise ValueError(
                "spellings are needed where characters are read, and only there: got "
                f"{'none' if spellings is None else 'some'}"
            )
        if train and self.word_dropout:
            draw = jax.random.bernoulli(self.make_rng("dropout"), self.word_dropout, words.shape)
            words = jnp.where(draw, UNKNOWN, words)
        x = self.embed(words)
        if self.spelling is None:
            return x
        if spellings.shape[:-1] != words.shape:
            raise ValueError(
                f"spellings must be {[*words.shape, 'characters']}, got {list(spellings.shape)}"
            )
        return jnp.concatenate([x, self.spelling(spellings)], axis=-1)
