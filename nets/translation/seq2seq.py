"""Encoder and decoder, joined by their states and by attention.

Encoders and decoders are modules of their own, so that several pairs of languages can share them.
Decoding goes step by step with `Decoder.step`, whose carry any search of `nets` takes.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.cells import CELLS
from ..recurrent.layers import RNN
from ..recurrent.stack import DeepRecurrent
from .attention import Attention, Memory

BRIDGES = ("dense", "copy", "zeros")


class Encoded(NamedTuple):
    """A batch of sources as read: outputs [B, S, M], valid bool [B, S], final carries by layer."""

    outputs: jax.Array
    valid: jax.Array
    carries: Any


class DecoderCarry(NamedTuple):
    """State of a decoder: carries [N, .] by layer, and how many symbols were read, int32 [N].

    With input feeding also the last attentional state [N, H], else ().
    """

    layers: Any
    number: jax.Array
    attended: Any


class Encoder(nn.Module):
    """Reads a source into one vector for each of its symbols, and final states.

    vocabulary: symbols, of which 0 is padding. embedding, hidden: widths; hidden is of each
    direction. backwards: a layer in one direction reads the source from its end (Sutskever, Vinyals
    and Le 2014); the outputs stay beside their symbols. dropout: of the embeddings and of every
    layer's outputs. word_dropout: of whole symbols. embed: an embedding to share, instead of an own
    one.
    """

    vocabulary: int
    embedding: int
    hidden: int
    layers: int = 1
    cell: str = "gru"
    bidirectional: bool = True
    backwards: bool = False
    dropout: float = 0.0
    word_dropout: float = 0.0
    embed: nn.Embed | None = None
    dtype: Any = jnp.float32

    def setup(self):
        """Declare the embedding and the layers."""
        self.table = self.embed or nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        one_way = "backward" if self.backwards else "forward"
        self.core = DeepRecurrent(
            self.hidden,
            self.layers,
            self.cell,
            "both" if self.bidirectional else one_way,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        self.drop_words = nn.Dropout(self.word_dropout, broadcast_dims=(-1,))

    def __call__(self, source, lengths, *, train: bool = False) -> Encoded:
        """Read source int32 [B, S], of which lengths int32 [B] symbols are real."""
        x = self.drop_words(self.table(source), deterministic=not train)
        carries, x = self.core(x, lengths, train=train)
        valid = jnp.arange(source.shape[1]) < jnp.asarray(lengths)[:, None]
        return Encoded(x, valid, carries)


class Decoder(nn.Module):
    """P(y_t given y_<t and the source): recurrent layers, attention, a softmax over the symbols.

        s_t = RNN(E y_{t-1}, s_{t-1}),   c_t = attention(s_t),   a_t = tanh(W [c_t; s_t]),
        p_t = softmax(V a_t + b)

    with input feeding the layers read [E y_{t-1}; a_{t-1}] (Luong, Pham and Manning 2015); without
    attention a_t = s_t (Sutskever, Vinyals and Le 2014). s_0 comes from the encoder by the bridge:
    "dense", tanh of one product of all final states of the encoder's layer; "copy", the states as
    they are; "zeros".

    attention: "additive", "dot", "general", or "none"; window, centre: as in `Attention`. sampling:
    probability that a step in training reads what the model itself would draw, in place of the
    input (scheduled sampling, Bengio et al. 2015); it then goes step by step.
    tied: V is the embedding's table, through a product to its width. dropout: of the embeddings,
    between layers and of a_t. word_dropout: of whole symbols that are read.
    """

    vocabulary: int
    embedding: int
    hidden: int
    layers: int = 1
    cell: str = "gru"
    attention: str = "general"
    window: int = 0
    centre: Literal["predictive", "monotonic"] = "predictive"
    input_feeding: bool = False
    sampling: float = 0.0
    bridge: str = "dense"
    tied: bool = False
    dropout: float = 0.0
    word_dropout: float = 0.0
    embed: nn.Embed | None = None
    dtype: Any = jnp.float32

    def setup(self):
        """Declare the layers."""
        if self.bridge not in BRIDGES:
            raise ValueError(f"bridge must be one of {', '.join(BRIDGES)}, got {self.bridge!r}")
        if self.input_feeding and self.attention == "none":
            raise ValueError("input feeding needs attention")
        self.table = self.embed or nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        self.recurrent = [
            RNN(CELLS[self.cell](self.hidden, dtype=self.dtype)) for _ in range(self.layers)
        ]
        if self.attention != "none":
            size = (self.attention, self.hidden, self.hidden)
            self.attend = Attention(*size, self.window, self.centre, dtype=self.dtype)
            self.combine = nn.Dense(self.hidden, use_bias=False, dtype=self.dtype)
        if self.bridge == "dense":
            leaves = 2 if self.cell == "lstm" else 1
            wide = leaves * self.hidden
            self.bridges = [nn.Dense(wide, dtype=self.dtype) for _ in range(self.layers)]
        if self.tied:
            self.narrow = nn.Dense(self.table.features, use_bias=False, dtype=self.dtype)
            self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))
        else:
            self.output = nn.Dense(self.vocabulary, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.drop_words = nn.Dropout(self.word_dropout, broadcast_dims=(-1,))

    def start(self, encoded: Encoded) -> tuple[DecoderCarry, Memory | None]:
        """Return the carry before the first symbol, and the memory, None without attention."""
        rows = len(encoded.valid)
        cell = CELLS[self.cell](self.hidden, parent=None)
        zeros = cell.initialize_carry(jax.random.key(0), (rows, self.hidden))
        carries = [zeros] * self.layers
        if self.bridge != "zeros":
            if len(encoded.carries) != self.layers:
                raise ValueError(
                    f"bridge {self.bridge!r} needs as many layers in the encoder as in the "
                    f"decoder, {self.layers}, got {len(encoded.carries)}"
                )
            carries = [self._bridge(k, zeros, carry) for k, carry in enumerate(encoded.carries)]
        attended = jnp.zeros((rows, self.hidden), jnp.float32) if self.input_feeding else ()
        memory = (
            self.attend.read(encoded.outputs, encoded.valid) if self.attention != "none" else None
        )
        return DecoderCarry(tuple(carries), jnp.zeros(rows, jnp.int32), attended), memory

    def _bridge(self, layer: int, zeros, carry):
        """Initial carry of a layer from the encoder's of that layer."""
        if self.bridge == "copy":
            shapes = [jax.tree.map(jnp.shape, tree) for tree in (zeros, carry)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"bridge 'copy' needs a carry {shapes[0]}, got {shapes[1]}")
            return carry
        flat, form = jax.tree.flatten(zeros)
        made = jnp.tanh(self.bridges[layer](jnp.concatenate(jax.tree.leaves(carry), axis=-1)))
        return jax.tree.unflatten(form, jnp.split(made.astype(flat[0].dtype), len(flat), axis=-1))

    def __call__(self, inputs, carry: DecoderCarry, memory: Memory | None, *, train: bool = False):
        """Return logits float32 [B, T, V] for inputs int32 [B, T], the symbols before each.

        carry, memory: as `start` returns them. Sampling needs the random stream "dropout".
        """
        sampling = self.sampling if train else 0.0
        if not self.input_feeding and not sampling:
            return self._advance(inputs, carry, memory, train=train)[0]

        def step(decoder, state, tokens):
            carry, before = state
            if sampling:
                chosen, drawn = jax.random.split(decoder.make_rng("dropout"))
                own = jax.random.bernoulli(chosen, sampling, tokens.shape) & (carry.number > 0)
                tokens = jnp.where(own, jax.random.categorical(drawn, before), tokens)
            logits, carry, _ = decoder._advance(tokens[:, None], carry, memory, train=train)
            return (carry, jax.lax.stop_gradient(logits[:, 0])), logits[:, 0]

        scan = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            out_axes=1,
        )
        before = jnp.zeros((len(inputs), self.vocabulary), jnp.float32)
        return scan(self, (carry, before), inputs.T)[1]

    def step(self, tokens, carry: DecoderCarry, memory: Memory | None = None):
        """Return (logits float32 [N, V], carry, attention weights float32 [N, S]).

        tokens: int32 [N], the symbols before; N may be a multiple of the memory's rows B, N / B
        hypotheses for each. Without attention there are no weights, and two results.
        """
        logits, carry, weights = self._advance(tokens[:, None], carry, memory)
        if memory is None:
            return logits[:, 0], carry
        return logits[:, 0], carry, weights.reshape(len(tokens), -1)

    def _advance(self, inputs, carry, memory, *, train: bool = False):
        """Run over inputs [N, T]: (logits [N, T, V], carry, weights [B, N / B * T, S])."""
        rows, time = inputs.shape
        x = self.drop_words(self.table(inputs), deterministic=not train)
        x = self.drop(x, deterministic=not train)
        if self.input_feeding:
            x = jnp.concatenate([x, carry.attended[:, None].astype(x.dtype)], axis=-1)
        carries = []
        for depth, (layer, initial) in enumerate(zip(self.recurrent, carry.layers, strict=True)):
            if depth:
                x = self.drop(x, deterministic=not train)
            final, x = layer(x, initial_carry=initial)
            carries.append(final)
        weights = None
        if memory is not None:
            query = x.reshape(len(memory.valid), -1, self.hidden)
            number = (carry.number[:, None] + jnp.arange(time)).reshape(query.shape[:2])
            context, weights = self.attend(query, memory, number)
            both = jnp.concatenate([context.reshape(rows, time, -1), x], axis=-1)
            x = jnp.tanh(self.combine(both))
        attended = x[:, -1].astype(jnp.float32) if self.input_feeding else ()
        x = self.drop(x, deterministic=not train)
        logits = self.table.attend(self.narrow(x)) + self.bias if self.tied else self.output(x)
        return (
            logits.astype(jnp.float32),
            DecoderCarry(tuple(carries), carry.number + time, attended),
            weights,
        )


class Seq2Seq(nn.Module):
    """P(y given x): an encoder and a decoder; `start` and `step` are for a search."""

    encoder: Encoder
    decoder: Decoder

    def __call__(self, source, lengths, inputs, *, train: bool = False):
        """Return logits float32 [B, T, V].

        source: int32 [B, S] with lengths int32 [B]. inputs: int32 [B, T], the symbols before each
        of the target.
        """
        carry, memory = self.decoder.start(self.encoder(source, lengths, train=train))
        return self.decoder(inputs, carry, memory, train=train)

    def start(self, source, lengths):
        """Return the decoder's (carry, memory) for a batch of sources."""
        return self.decoder.start(self.encoder(source, lengths))

    def step(self, tokens, carry, memory=None):
        """As `Decoder.step`."""
        return self.decoder.step(tokens, carry, memory)
