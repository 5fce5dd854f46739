"""Tagger: a tag for each word of a sentence."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from .encoder import SentenceEncoder
from .linear_crf import Chain

OUTPUTS = ("crf", "softmax")


class Tagger(nn.Module):
    """Potentials of tags: emissions = V h_t + b, with the encoder's state h_t at word t.

    tags: number K of tags. output: "crf" has a score for each pair of neighbouring tags, for the
    first and for the last tag, all initialised to 0; "softmax" predicts each tag independently.
    `nets.sentence.linear_crf` defines the potentials and finds the best tags. Sources: Huang, Xu
    and Yu 2015; Irsoy and Cardie 2014 (softmax over deep bidirectional networks).

    >>> from nets.recurrent.stack import DeepRecurrent
    >>> encoder = SentenceEncoder(DeepRecurrent(8, dropout=0.5), words=100)
    >>> words, lengths = jnp.array([[5, 7, 2], [4, 1, 0]]), jnp.array([3, 2])
    >>> tagger = Tagger(encoder, tags=4)
    >>> inputs = jax.random.key(0), words, None, lengths
    >>> chain, variables = jax.eval_shape(tagger.init_with_output, *inputs)
    >>> chain.emissions.shape, chain.transitions.shape
    ((2, 3, 4), (4, 4))
    """

    encoder: SentenceEncoder
    tags: int
    output: str = "crf"

    @nn.compact
    def __call__(
        self,
        words: jax.Array,
        characters: jax.Array | None,
        lengths: jax.Array,
        *,
        train: bool = False,
    ) -> Chain:
        """Return the chain of words int32 [B, T]; characters, lengths: see `SentenceEncoder`.

        train needs the random stream "dropout". Raises ValueError for any other output.
        """
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r}")
        _, h = self.encoder(words, characters, lengths, train=train)
        dense = nn.Dense(self.tags, dtype=self.encoder.dtype, name="emissions")
        emissions = dense(h).astype(jnp.float32)
        if self.output == "softmax":
            return Chain(emissions)
        shapes = {"transitions": (self.tags, self.tags), "start": (self.tags,), "end": (self.tags,)}
        zeros = nn.initializers.zeros
        scores = {name: self.param(name, zeros, s, jnp.float32) for name, s in shapes.items()}
        return Chain(emissions, **scores)
