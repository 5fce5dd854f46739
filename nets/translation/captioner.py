"""A decoder of sentences that reads an image instead of an encoded sentence."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from .attention import Memory
from .seq2seq import Decoder, DecoderCarry, Encoded

VIEWS = ("attention", "each_step", "initial")


class Captioner(nn.Module):
    """P(caption | image): feature maps of the image, and a decoder.

        h_p = relu(W [m_p; x_p; y_p] + b),   v = max_p h_p,   p_t = decoder(y_<t; h, v)

    m_p is the feature map of the backbone at place p, and x_p, y_p its position, from -1 to 1. v is
    the state from which the bridge of the decoder makes s_0. view: how the decoder sees the image
    after that. "attention": it attends to the h_p (Xu et al., "Show, attend and tell", 2015).
    "each_step": it reads v at each step (Donahue et al., "Long-term recurrent convolutional
    networks", 2015). "initial": by s_0 alone (Vinyals et al., "Show and tell", 2015). The decoder
    needs attention unless the view is "initial", and none if it is.

    detection: weight in the loss of the detection of words (Fang et al., "From captions to visual
    concepts and back", 2015), which teaches the backbone where words are seen: the mean over images
    of the cross-entropy, summed over the vocabulary, between sigmoid(max_p (U h_p + c)) and whether
    the symbol occurs in the captions. It is added in training, as a penalty.

    backbone: a module from images [B, H, W, C] to a tuple of maps [B, H', W', C']. level: index of
    the map that is read. features: width of h_p. feedback: False replaces every preceding symbol by
    padding, so that p_t depends on t and the image alone, and symbols are drawn independently.

    Raises ValueError for an unknown view, or one that does not fit the decoder.
    """

    backbone: nn.Module
    decoder: Decoder
    level: int = -1
    features: int = 128
    view: str = "attention"
    feedback: bool = True
    detection: float = 0.0

    def setup(self) -> None:
        """Declare the layer of the places."""
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {self.view!r}")
        attends = self.decoder.attention != "none"
        if attends == (self.view == "initial"):
            raise ValueError(
                f"view {self.view!r} does not fit a decoder with attention "
                f"{self.decoder.attention!r}"
            )
        self.place = nn.Dense(self.features, dtype=self.decoder.dtype)
        if self.detection:
            self.detect = nn.Dense(self.decoder.vocabulary, dtype=self.decoder.dtype)

    def __call__(self, images: Array, inputs: Array, *, train: bool = False) -> Array:
        """Return logits float32 [B, K, T, V] of K captions of each of the B images.

        images: float [B, H, W, C]. inputs: int32 [B, K, T], the symbol before each symbol.
        """
        places = self.places(images, train=train)
        if self.detection:
            loss = self._detection_loss(places, inputs)
            if train:
                self.sow("penalties", "detection", self.detection * loss)
        carry, memory = self._begin(places)
        rows, captions, time = inputs.shape
        carry = DecoderCarry(
            *jax.tree.map(lambda leaf: jnp.repeat(leaf, captions, axis=0), tuple(carry))
        )
        flat = self._fed_back(inputs.reshape(rows * captions, time))
        logits = self.decoder(flat, carry, memory, train=train)
        return logits.reshape(rows, captions, time, -1)

    def start(self, images: Array) -> tuple[DecoderCarry, Memory | None]:
        """Return the initial (carry, memory) of the decoder for images [B, H, W, C]."""
        return self._begin(self.places(images))

    def _begin(self, places: Array) -> tuple[DecoderCarry, Memory | None]:
        """Return the initial (carry, memory) of the decoder for places [B, P, features]."""
        state = places.max(axis=1)
        if self.view == "each_step":
            places = state[:, None]
        valid = jnp.ones(places.shape[:2], bool)
        return self.decoder.start(Encoded(places, valid, [state] * self.decoder.layers))

    def step(
        self, tokens: Array, carry: DecoderCarry, memory: Memory | None = None
    ) -> tuple[Array, ...]:
        """Call `Decoder.step`; the attention is over the places, row by row."""
        return self.decoder.step(self._fed_back(tokens), carry, memory)

    def places(self, images: Array, *, train: bool = False) -> Array:
        """Return the vectors h_p of the places, [B, H' W', features], row by row."""
        x = self.backbone(images, train=train)[self.level]
        rows, height, width, _ = x.shape
        y_axis, x_axis = (jnp.linspace(-1, 1, n, dtype=x.dtype) for n in (height, width))
        position = jnp.stack(jnp.meshgrid(x_axis, y_axis), axis=-1)
        position = jnp.broadcast_to(position, (rows, height, width, 2))
        x = nn.relu(self.place(jnp.concatenate([x, position], axis=-1)))
        return x.reshape(rows, height * width, -1)

    def summary(self, images: Array) -> Array:
        """Return the mean over places of the map that is read, float32 [B, C']."""
        return self.backbone(images, train=False)[self.level].astype(jnp.float32).mean(axis=(1, 2))

    def _detection_loss(self, places: Array, inputs: Array) -> Array:
        """Return the loss of the detection of the symbols of captions [B, K, T] at the places."""
        logits = self.detect(places).astype(jnp.float32).max(axis=1)
        seen = nn.one_hot(inputs, self.decoder.vocabulary).max(axis=(1, 2))
        losses = nn.softplus(logits) - seen * logits
        return losses.sum(axis=-1).mean()

    def _fed_back(self, tokens: Array) -> Array:
        """Return what the decoder reads of the preceding symbols."""
        return tokens if self.feedback else jnp.zeros_like(tokens)
