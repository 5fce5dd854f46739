"""Transcriber: from frames of speech or handwriting to symbol logits, without segmentation."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from ..recurrent.stack import DeepRecurrent


class Transcriber(nn.Module):
    """P(symbol at t | x) = softmax(V h_t + b), where h = core(front_n(... front_1(x))).

    core: the recurrent encoder, usually bidirectional, since a symbol also depends on the frames
    after it. symbols: number of symbols, including the blank. fronts: front-end layers, applied in
    order: modules of `nets.ctc.frontends` or `nets.convolution.temporal.TimeConvolutions`. Without
    any, the encoder reads the frames themselves. `nets.ctc.loss` turns the logits into the
    probability of a label and into the most probable label.

    Sources: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural networks",
    2013 (deep bidirectional LSTM with connectionist temporal classification); Graves et al., "A
    novel connectionist system for unconstrained handwriting recognition", 2009.

        >>> import jax
        >>> model = Transcriber(DeepRecurrent(8, layers=2), symbols=29)
        >>> x, lengths = jnp.ones((2, 10, 40)), jnp.array([10, 6])
        >>> variables = jax.jit(model.init)(jax.random.key(0), x, lengths)
        >>> logits, lengths = jax.jit(model.apply)(variables, x, lengths)
        >>> logits.shape
        (2, 10, 29)
    """

    core: DeepRecurrent
    symbols: int
    fronts: Sequence[nn.Module] = ()

    @nn.compact
    def __call__(self, x: Array, lengths: Array, *, train: bool = False) -> tuple[Array, Array]:
        """Return (logits float32 [B, T', V], lengths int [B]).

        x: float [B, T, D]; lengths: int [B]. T' and the returned lengths are those of the front-end
        output. Padding values, even NaN, affect nothing; the logits there are b. In training,
        dropout in the encoder needs the random stream "dropout". Raises ValueError if x is not of
        rank 3 or the lengths do not fit.
        """
        if x.ndim != 3:
            raise ValueError(f"x must be [batch, time, features], got shape {x.shape}")
        for front in self.fronts:
            x, lengths = front(x, lengths)
        _, h = self.core(x, lengths, train=train)
        output = nn.Dense(self.symbols, dtype=self.core.dtype, name="output")
        return output(h).astype(jnp.float32), lengths
