"""Several language pairs in one network, sharing encoders and decoders.

Sources: Dong et al., "Multi-Task Learning for Multiple Language Translation", 2015 (one encoder,
many decoders); Luong et al., "Multi-task Sequence to Sequence Learning", 2016; Firat, Cho and
Bengio, "Multi-Way, Multilingual Neural Machine Translation with a Shared Attention Mechanism", 2016
(many encoders and decoders). There all pairs share one attention; here each decoder has its own.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from .attention import Memory
from .seq2seq import Decoder, DecoderCarry, Encoder


class MultiSeq2Seq(nn.Module):
    """P(y | x, pair): the encoder and the decoder of a language pair, joined as in `Seq2Seq`.

        P(y | x, pair) = decoder[d](y, encoder[e](x)),   (e, d) = pairs[pair]

    encoders, decoders: by name. pairs: pair -> (name of its encoder, name of its decoder). The pair
    is a str, static under jit. Initialisation with any pair creates the parameters of all encoders
    and decoders. Raises ValueError for an unknown pair.
    """

    encoders: Mapping[str, Encoder]
    decoders: Mapping[str, Decoder]
    pairs: Mapping[str, tuple[str, str]]

    def __call__(
        self, pair: str, source: Array, lengths: Array, inputs: Array, *, train: bool = False
    ) -> Array:
        """Return logits float32 [B, T, V] of the pair's decoder; arguments as in `Seq2Seq`."""
        if self.is_initializing():
            for other in self.pairs:  # zeros, since ids of this pair may not exist in others
                self._logits(other, jnp.zeros_like(source), lengths, jnp.zeros_like(inputs))
        return self._logits(pair, source, lengths, inputs, train=train)

    def start(self, pair: str, source: Array, lengths: Array) -> tuple[DecoderCarry, Memory | None]:
        """Return the initial (carry, memory) of the pair's decoder for a batch of sources."""
        encoder, decoder = self._modules(pair)
        return decoder.start(encoder(source, lengths))

    def step(
        self, pair: str, tokens: Array, carry: DecoderCarry, memory: Memory | None = None
    ) -> tuple[Any, ...]:
        """Call `Decoder.step` of the pair's decoder."""
        return self._modules(pair)[1].step(tokens, carry, memory)

    def variables_of(self, variables: Mapping[str, Any], pair: str) -> dict[str, Any]:
        """Return the variables of a `Seq2Seq` of one pair; its arrays are shared, not copied."""
        encoder, decoder = self._names(pair)
        params = variables["params"]
        own = {"encoder": params[f"encoders_{encoder}"], "decoder": params[f"decoders_{decoder}"]}
        return {"params": own}

    def _logits(
        self, pair: str, source: Array, lengths: Array, inputs: Array, *, train: bool = False
    ) -> Array:
        encoder, decoder = self._modules(pair)
        carry, memory = decoder.start(encoder(source, lengths, train=train))
        return decoder(inputs, carry, memory, train=train)

    def _modules(self, pair: str) -> tuple[Encoder, Decoder]:
        encoder, decoder = self._names(pair)
        return self.encoders[encoder], self.decoders[decoder]

    def _names(self, pair: str) -> tuple[str, str]:
        if pair not in self.pairs:
            raise ValueError(f"unknown pair {pair!r}; the pairs are {', '.join(self.pairs)}")
        return self.pairs[pair]
