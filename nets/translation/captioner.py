"""A decoder of sentences that reads an image instead of an encoded sentence."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from .attention import Memory
from .seq2seq import Decoder, DecoderCarry, Encoded

VIEWS = ("attention", "each_step", "initial")


class Captioner(nn.Module):
    """P(caption | image): feature maps of the image, and a decoder.

        h_p = relu(W m_p + U [x_p; y_p] + b),   v = max_p h_p,   p_t = decoder(y_<t; h, v)

    m_p is the feature map of the backbone at place p, and x_p, y_p its position, from -1 to 1. v is
    the state from which the bridge of the decoder makes s_0. view: how the decoder sees the image
    after that. "attention": it attends to the h_p (Xu et al., "Show, attend and tell", 2015).
    "each_step": it reads v at each step (Donahue et al., "Long-term recurrent convolutional
    networks", 2015). "initial": by s_0 alone (Vinyals et al., "Show and tell", 2015). The decoder
    needs attention unless the view is "initial", and none if it is.

    naming: True trains the backbone to name the objects in an image, not on captions: in training
    it has the penalty sum_a [mean_(p seen) -log P_a(n_pa) + mean_(p not seen) -log P_a(none)], with
    P_a = softmax(U_a relu(W' m_p + b') + c_a), where a mask says which places have a pixel of an
    object. A name has parts a, such as a digit and a colour, with `objects` values each.

    backbone: a module from images [B, H, W, C] to a tuple of maps [B, H', W', C']. level: index of
    the map that is read. features: width of h_p. feedback: False replaces every preceding symbol by
    padding, so that p_t depends on t and the image alone, and symbols are drawn independently.
    frozen: the backbone has no gradient, and its batch statistics do not change.

    Raises ValueError for an unknown view, or one that does not fit the decoder.
    """

    backbone: nn.Module
    decoder: Decoder
    level: int = -1
    features: int = 128
    view: str = "attention"
    feedback: bool = True
    naming: bool = False
    objects: tuple[int, ...] = ()
    frozen: bool = False

    def setup(self) -> None:
        """Declare the layers of the places, and those of the names."""
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {self.view!r}")
        attends = self.decoder.attention != "none"
        if attends == (self.view == "initial"):
            raise ValueError(
                f"view {self.view!r} does not fit a decoder with attention "
                f"{self.decoder.attention!r}"
            )
        self.place = nn.Dense(self.features, dtype=self.decoder.dtype)
        # a layer of its own, whose initial weights are large enough for two inputs to count
        self.position = nn.Dense(self.features, use_bias=False, dtype=self.decoder.dtype)
        if self.naming:
            values = len(self.objects) + sum(self.objects)
            self.name_features = nn.Dense(self.features, dtype=self.decoder.dtype)
            self.name_objects = nn.Dense(values, dtype=self.decoder.dtype)

    def __call__(
        self, images: Array, inputs: Array, mask: Array | None = None, *, train: bool = False
    ) -> Array:
        """Return logits float32 [B, K, T, V] of K captions of each of the B images.

        images: float [B, H, W, C]. inputs: int32 [B, K, T], the symbol before each symbol. mask:
        int32 [B, H, W], 0, or 1 + n where an object is seen, whose name has the values that n is
        in the mixed radix of `objects`; not needed without `naming`.
        """
        x = self._map(images, train)
        if self.naming and mask is not None:
            logits = self._names(x)
            if train:
                loss = naming_loss(logits, shrunk(mask, logits.shape[1]), self.objects)
                self.sow("penalties", "naming", loss)
            x = jax.lax.stop_gradient(x)
        carry, memory = self._begin(self._places(x))
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
        return self._places(self._map(images, train))

    def _map(self, images: Array, train: bool) -> Array:
        """Return the map that is read, [B, H', W', C']."""
        x = self.backbone(images, train=train and not self.frozen)[self.level]
        return jax.lax.stop_gradient(x) if self.frozen else x

    def _names(self, x: Array) -> Array:
        """Return scores float32 [B, P, N] of the names at the places of a map [B, H', W', C']."""
        x = x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
        return self.name_objects(nn.relu(self.name_features(x))).astype(jnp.float32)

    def _places(self, x: Array) -> Array:
        rows, height, width, _ = x.shape
        y_axis, x_axis = (jnp.linspace(-1, 1, n, dtype=x.dtype) for n in (height, width))
        position = jnp.stack(jnp.meshgrid(x_axis, y_axis), axis=-1)
        x = nn.relu(self.place(x) + self.position(position[None]))
        return x.reshape(rows, height * width, x.shape[-1])

    def summary(self, images: Array) -> Array:
        """Return the mean over places of the map that is read, float32 [B, C']."""
        return self._map(images, train=False).astype(jnp.float32).mean(axis=(1, 2))

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


def naming_loss(logits: Array, names: Array, objects: tuple[int, ...]) -> Array:
    """Loss of the parts of the names of places: see `Captioner`.

    logits: float32 [B, P, len(objects) + sum(objects)], for each part a score of no object and one
    of each value. names: int32 [B, P], 0 or 1 + the values of a name in the mixed radix of objects.
    """
    seen = names > 0
    values = jnp.unravel_index(jnp.maximum(names - 1, 0), objects)
    starts = np.cumsum([1 + count for count in objects])[:-1]
    loss = jnp.float32(0)
    for part, value in zip(jnp.split(logits, starts, axis=-1), values, strict=True):
        at = jnp.where(seen, 1 + value, 0)
        log_p = jnp.take_along_axis(nn.log_softmax(part), at[..., None], axis=-1)[..., 0]
        for places in (seen, ~seen):
            loss -= jnp.where(places, log_p, 0).sum() / jnp.maximum(places.sum(), 1)
    return loss
