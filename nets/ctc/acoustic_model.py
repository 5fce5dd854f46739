"""Transcriber: symbols for the frames of a sound or of a line of handwriting, without segments."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.stack import DeepRecurrent


class Transcriber(nn.Module):
    """P(symbol at t | x) = softmax(V h_t + b), h = core(front_n(... front_1(x))).

    core: the recurrent layers, of both directions as a rule, since what is said is heard in what
    follows. symbols: their number, the blank counted. fronts: modules of `nets.ctc.frontends`, or
    `nets.convolution.temporal.TimeConvolutions`, in their order; none reads the frames as they are.
    What the probabilities say of a label, and the most probable label, is in `nets.ctc.loss`.

    Sources: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural networks",
    2013 (deep LSTM of both directions with connectionist temporal classification); Graves et al.,
    "A novel connectionist system for unconstrained handwriting recognition", 2009.

        core = DeepRecurrent(128, layers=3)
        model = Transcriber(core, 29, fronts=(BandConvolution(), FrameStacking(2)))
        logits, steps = model.apply(variables, x, lengths)
        loss = ctc_loss(logits, steps, labels, label_lengths)
    """

    core: DeepRecurrent
    symbols: int
    fronts: Sequence[nn.Module] = ()

    @nn.compact
    def __call__(self, x, lengths, *, train: bool = False):
        """Return (logits float32 [B, T', V], lengths int [B]).

        x: float [B, T, D]; lengths: int [B]. T' and the lengths returned are what the fronts leave.
        Padding, NaN included, changes nothing; the logits there are b. train needs the random
        stream "dropout" where the core drops. Raises ValueError for x of another rank and lengths
        that do not fit.
        """
        if x.ndim != 3:
            raise ValueError(f"x must be [batch, time, features], got shape {x.shape}")
        for front in self.fronts:
            x, lengths = front(x, lengths)
        _, h = self.core(x, lengths, train=train)
        output = nn.Dense(self.symbols, dtype=self.core.dtype, name="output")
        return output(h).astype(jnp.float32), lengths
