"""Several language pairs in one network, with encoders and decoders that pairs share.

Sources: Dong et al., "Multi-Task Learning for Multiple Language Translation", 2015 (one encoder,
many decoders); Luong et al., "Multi-task Sequence to Sequence Learning", 2016; Firat, Cho and
Bengio, "Multi-Way, Multilingual Neural Machine Translation with a Shared Attention Mechanism", 2016
(many of both). There the attention is one for all pairs; here it is part of the decoder.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from .seq2seq import Decoder, Encoder


class MultiSeq2Seq(nn.Module):
    """P(y given x, pair): the decoder of the pair after its encoder, as `Seq2Seq`.

        P(y | x, pair) = decoder[d](y, encoder[e](x)),   (e, d) = parts[pair]

    encoders, decoders: by name. parts: pair -> (name of its encoder, name of its decoder). A pair
    is given as a str, which is static under jit. All parts get their parameters at initialisation,
    whatever the pair is. Raises ValueError when there is no such pair.
    """

    encoders: Mapping[str, Encoder]
    decoders: Mapping[str, Decoder]
    parts: Mapping[str, tuple[str, str]]

    def __call__(self, pair: str, source, lengths, inputs, *, train: bool = False):
        """Return logits float32 [B, T, V] of the pair's decoder; arguments as of `Seq2Seq`."""
        if self.is_initializing():
            for other in self.parts:  # ids of this pair need not be ids of the others
                self._logits(other, jnp.zeros_like(source), lengths, jnp.zeros_like(inputs))
        return self._logits(pair, source, lengths, inputs, train=train)

    def start(self, pair: str, source, lengths):
        """Return the (carry, memory) of the pair's decoder for a batch of sources."""
        encoder, decoder = self._parts(pair)
        return decoder.start(encoder(source, lengths))

    def step(self, pair: str, tokens, carry, memory=None):
        """As `Decoder.step`, of the pair's decoder."""
        return self._parts(pair)[1].step(tokens, carry, memory)

    def variables_of(self, variables, pair: str) -> dict[str, Any]:
        """Return the variables of the `Seq2Seq` that a pair is by itself; the arrays are shared."""
        encoder, decoder = self._names(pair)
        params = variables["params"]
        one = {"encoder": params[f"encoders_{encoder}"], "decoder": params[f"decoders_{decoder}"]}
        return {"params": one}

    def _logits(self, pair: str, source, lengths, inputs, *, train: bool = False):
        encoder, decoder = self._parts(pair)
        carry, memory = decoder.start(encoder(source, lengths, train=train))
        return decoder(inputs, carry, memory, train=train)

    def _parts(self, pair: str) -> tuple[Encoder, Decoder]:
        encoder, decoder = self._names(pair)
        return self.encoders[encoder], self.decoders[decoder]

    def _names(self, pair: str) -> tuple[str, str]:
        if pair not in self.parts:
            raise ValueError(f"there is no pair {pair!r}; there are {', '.join(self.parts)}")
        return self.parts[pair]
