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

    naming: weight in the loss of the names of objects, where a mask says what is where: the mean of
    -log softmax(U h_p + c)_n over the places with a pixel of object n. It is a penalty of training
    that teaches the backbone to see. objects: number of names.

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
    naming: float = 0.0
    objects: int = 0

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
        if self.naming:
            self.name_objects = nn.Dense(self.objects, dtype=self.decoder.dtype)

    def __call__(
        self, images: Array, inputs: Array, mask: Array | None = None, *, train: bool = False
    ) -> Array:
        """Return logits float32 [B, K, T, V] of K captions of each of the B images.

        images: float [B, H, W, C]. inputs: int32 [B, K, T], the symbol before each symbol. mask:
        int32 [B, H, W], 0 or 1 + n where object n is seen; not needed without `naming`.
        """
        places = self.places(images, train=train)
        if self.naming and mask is not None:
            logits = self.name_objects(places).astype(jnp.float32)
            if train:
                loss = naming_loss(logits, shrunk(mask, places.shape[1]))
                self.sow("penalties", "naming", self.naming * loss)
        carry, memory = self._begin(places)
        rows, captions, time = inputs.shape
        carry = DecoderCarry(
            *jax.tree.map(lambda leaf: jnp.repeat(leaf, captions, axis=0), tuple(carry))
        )
        flat = self._fed_back(inputs.reshape(rows * captions, time))
        logits = self.decoder(flat, carry, memory, train=train)
        return logits.reshape(rows, captions, *logits.shape[1:])

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
        return x.reshape(rows, height * width, x.shape[-1])

    def summary(self, images: Array) -> Array:
        """Return the mean over places of the map that is read, float32 [B, C']."""
        return self.backbone(images, train=False)[self.level].astype(jnp.float32).mean(axis=(1, 2))

    def _fed_back(self, tokens: Array) -> Array:
        """Return what the decoder reads of the preceding symbols."""
        return tokens if self.feedback else jnp.zeros_like(tokens)


def shrunk(mask: Array, places: int) -> Array:
    """Return the largest value in the cell of each place, int32 [B, P], of a mask [B, H, W]."""
    rows, height, width = mask.shape
    stride = round((height * width / places) ** 0.5)
    down, across = height // stride, width // stride
    cells = mask[:, : down * stride, : across * stride].reshape(rows, down, stride, across, stride)
    return cells.max(axis=(2, 4)).reshape(rows, down * across)


def naming_loss(logits: Array, names: Array) -> Array:
    """Mean of -log softmax(logits)_n of logits [B, P, N] where names [B, P] is 1 + n, not 0."""
    log_p = nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log_p, jnp.maximum(names - 1, 0)[..., None], axis=-1)[..., 0]
    seen = names > 0
    return -jnp.where(seen, chosen, 0).sum() / jnp.maximum(seen.sum(), 1)
