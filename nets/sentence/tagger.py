"""Tagger: a tag for every word of a sentence."""

import jax.numpy as jnp
from flax import linen as nn

from .encoder import SentenceEncoder
from .linear_crf import Chain

OUTPUTS = ("crf", "softmax")


class Tagger(nn.Module):
    """Potentials of tags: emissions = V h_t + b, h_t the encoder's state at word t.

    tags: their number K. output: "crf", with a score for each pair of neighbours, for the first and
    for the last tag, all of which begin at 0; or "softmax", each tag by itself. What the potentials
    mean, and the best tags, is in `nets.sentence.linear_crf`. Sources: Huang, Xu and Yu 2015; Irsoy
    and Cardie 2014 (softmax over deep networks of both directions).

        core = DeepRecurrent(200, dropout=0.5)
        encoder = SentenceEncoder(core, words, spelling=Spelling(characters))
        chain = Tagger(encoder, tags).apply(variables, words, spellings, lengths)
        tags, score = viterbi(chain, lengths)
    """

    encoder: SentenceEncoder
    tags: int
    output: str = "crf"

    @nn.compact
    def __call__(self, words, spellings, lengths, *, train: bool = False) -> Chain:
        """Return the chain of words int32 [B, T]; spellings, lengths: as the encoder takes them.

        train needs the random stream "dropout". Raises ValueError for another output.
        """
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r}")
        _, h = self.encoder(words, spellings, lengths, train=train)
        dense = nn.Dense(self.tags, dtype=self.encoder.dtype, name="emissions")
        emissions = dense(h).astype(jnp.float32)
        if self.output == "softmax":
            return Chain(emissions)
        shapes = {"transitions": (self.tags, self.tags), "start": (self.tags,), "end": (self.tags,)}
        own = {name: self.param(name, nn.initializers.zeros, s) for name, s in shapes.items()}
        return Chain(emissions, **own)
