"""Encoder and decoder, joined by their states and by attention.

Encoders and decoders are separate modules, so that several language pairs can share them.
`Decoder.step` is a step function for the searches of `nets.decoding`.
"""

from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from ..masking import valid_steps
from ..recurrent.layers import RNN, Stacked
from ..recurrent.stack import DeepRecurrent
from ..recurrent.variants import ALL_CELLS
from .attention import Attention, Memory

BRIDGES = ("dense", "copy", "zeros")


class Encoded(NamedTuple):
    """Encoder results: outputs [B, S, M], valid bool [B, S], and the final carry of each layer."""

    outputs: Array
    valid: Array
    carries: Any


class DecoderCarry(NamedTuple):
    """State of a decoder.

    layers: the carry [N, .] of each layer. position: int32 [N], number of symbols read so far.
    attended: the last attentional state [N, H] with input feeding, else ().
    """

    layers: Any
    position: Array
    attended: Any


class Encoder(nn.Module):
    """Encodes a source as one vector per symbol and a final state per layer.

    vocabulary: number of symbols; symbol 0 is padding. embedding, hidden: widths; hidden is the
    width of one direction. backwards: unidirectional layers read the source from its end
    (Sutskever, Vinyals and Le 2014); outputs stay aligned with their symbols. dropout: rate for
    the embeddings and the outputs of every layer. word_dropout: rate for whole symbols. embed: an
    embedding to share; None creates one.
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

    def setup(self) -> None:
        """Declare the embedding and the layers."""
        self.table = self.embed or nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        direction = "backward" if self.backwards else "forward"
        self.core = DeepRecurrent(
            self.hidden,
            self.layers,
            self.cell,
            "both" if self.bidirectional else direction,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        self.drop_words = nn.Dropout(self.word_dropout, broadcast_dims=(-1,))

    def __call__(self, source: Array, lengths: Array, *, train: bool = False) -> Encoded:
        """Encode source int32 [B, S], whose rows have lengths int32 [B]."""
        x = self.drop_words(self.table(source), deterministic=not train)
        carries, x = self.core(x, lengths, train=train)
        valid = cast(Array, valid_steps(source.shape, lengths))
        return Encoded(x, valid, carries)


class Decoder(nn.Module):
    """P(y_t | y_<t, source): recurrent layers, attention, and a softmax over the symbols.

        s_t = RNN(E y_{t-1}, s_{t-1}),   c_t = attention(s_t),   a_t = tanh(W [c_t; s_t]),
        p_t = softmax(V a_t + b)

    With input feeding the layers read [E y_{t-1}; a_{t-1}] (Luong, Pham and Manning 2015). Without
    attention a_t = s_t (Sutskever, Vinyals and Le 2014). The bridge makes s_0 from the encoder:
    "dense", tanh of a dense layer on the final states of the encoder layer; "copy", those states
    unchanged; "zeros", zeros.

    attention: "additive", "dot", "general", or "none". window, centre: see `Attention`. sampling:
    probability that a training step reads a symbol sampled from the model instead of the input
    (scheduled sampling, Bengio et al. 2015); training then runs step by step. tied: V is the
    embedding matrix, after a dense layer to its width. dropout: rate for the embeddings, between
    layers, and for a_t. word_dropout: rate for whole input symbols. embed: an embedding to share;
    None creates one. Raises ValueError for an unknown bridge, for input feeding without attention,
    and if the encoder does not fit the bridge.
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

    def setup(self) -> None:
        """Declare the layers."""
        if self.bridge not in BRIDGES:
            raise ValueError(f"bridge must be one of {', '.join(BRIDGES)}, got {self.bridge!r}")
        if self.input_feeding and self.attention == "none":
            raise ValueError("input feeding needs attention")
        self.table = self.embed or nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        self.recurrent = [
            RNN(ALL_CELLS[self.cell](self.hidden, dtype=self.dtype)) for _ in range(self.layers)
        ]
        if self.attention != "none":
            size = (self.attention, self.hidden, self.hidden)
            self.attend = Attention(*size, self.window, self.centre, dtype=self.dtype)
            self.combine = nn.Dense(self.hidden, use_bias=False, dtype=self.dtype)
        if self.bridge == "dense":
            width = sum(leaf.shape[-1] for leaf in jax.tree.leaves(self._zeros(1)))
            self.bridges = [nn.Dense(width, dtype=self.dtype) for _ in range(self.layers)]
        if self.tied:
            self.narrow = nn.Dense(self.table.features, use_bias=False, dtype=self.dtype)
            self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))
        else:
            self.output = nn.Dense(self.vocabulary, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.stack = Stacked(self.recurrent, self.drop)
        self.drop_words = nn.Dropout(self.word_dropout, broadcast_dims=(-1,))

    def start(self, encoded: Encoded) -> tuple[DecoderCarry, Memory | None]:
        """Return the carry before the first symbol, and the memory, or None without attention."""
        rows = encoded.valid.shape[0]
        zeros = self._zeros(rows)
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

    @nn.nowrap
    def _zeros(self, rows: int) -> Any:
        """Return the zero carry of a layer."""
        cell = ALL_CELLS[self.cell](self.hidden, parent=None)
        return cell.initialize_carry(jax.random.key(0), (rows, self.hidden))

    def _bridge(self, layer: int, zeros: Any, carry: Any) -> Any:
        """Return the initial carry of a layer from the final carry of the same encoder layer."""
        if self.bridge == "copy":
            shapes = [jax.tree.map(jnp.shape, tree) for tree in (zeros, carry)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"bridge 'copy' needs a carry {shapes[0]}, got {shapes[1]}")
            return carry
        flat, treedef = jax.tree.flatten(zeros)
        h = jnp.tanh(self.bridges[layer](jnp.concatenate(jax.tree.leaves(carry), axis=-1)))
        ends = np.cumsum([leaf.shape[-1] for leaf in flat])[:-1]
        return jax.tree.unflatten(treedef, jnp.split(h.astype(flat[0].dtype), ends, axis=-1))

    def __call__(
        self, inputs: Array, carry: DecoderCarry, memory: Memory | None, *, train: bool = False
    ) -> Array:
        """Return logits float32 [B, T, V] for inputs int32 [B, T], the preceding symbols.

        carry, memory: from `start`. Scheduled sampling needs the random stream "dropout".
        """
        sampling = self.sampling if train else 0.0
        if not self.input_feeding and not sampling:
            return self._advance(inputs, carry, memory, train=train)[0]

        def step(
            decoder: "Decoder", state: tuple[DecoderCarry, Array], tokens: Array
        ) -> tuple[tuple[DecoderCarry, Array], Array]:
            carry, before = state
            if sampling:
                choice_key, symbol_key = jax.random.split(decoder.make_rng("dropout"))
                own = jax.random.bernoulli(choice_key, sampling, tokens.shape)
                own = own & (carry.position > 0)
                drawn = jax.random.categorical(symbol_key, before).astype(tokens.dtype)
                tokens = jnp.where(own, drawn, tokens)
            logits, carry, _ = decoder._advance(tokens[:, None], carry, memory, train=train)
            return (carry, jax.lax.stop_gradient(logits[:, 0])), logits[:, 0]

        scan = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            out_axes=1,
        )
        before = jnp.zeros((inputs.shape[0], self.vocabulary), jnp.float32)
        return scan(self, (carry, before), inputs.T)[1]

    def step(
        self, tokens: Array, carry: DecoderCarry, memory: Memory | None = None
    ) -> tuple[Any, ...]:
        """Return (logits float32 [N, V], carry, attention weights float32 [N, S]).

        tokens: int32 [N], the preceding symbols. N is a multiple of the B rows of the memory, with
        N / B hypotheses per row. Without attention it returns only logits and carry.
        """
        logits, carry, weights = self._advance(tokens[:, None], carry, memory)
        if memory is None:
            return logits[:, 0], carry
        return logits[:, 0], carry, weights.reshape(len(tokens), weights.shape[-1])

    def _advance(
        self, inputs: Array, carry: DecoderCarry, memory: Memory | None, *, train: bool = False
    ) -> tuple[Array, DecoderCarry, Any]:
        """Read inputs [N, T]; return (logits [N, T, V], carry, weights [B, N / B * T, S])."""
        rows, time = inputs.shape
        x = self.drop_words(self.table(inputs), deterministic=not train)
        x = self.drop(x, deterministic=not train)
        if self.input_feeding:
            x = jnp.concatenate([x, carry.attended[:, None].astype(x.dtype)], axis=-1)
        carries, x = self.stack(x, initial_carry=carry.layers, train=train)
        weights = None
        if memory is not None:
            sources = memory.valid.shape[0]
            query = x.reshape(sources, rows * time // max(sources, 1), self.hidden)
            steps = jnp.arange(time, dtype=jnp.int32)[None]
            position = (carry.position[:, None] + steps).reshape(query.shape[:2])
            context, weights = self.attend(query, memory, position)
            both = jnp.concatenate([context.reshape(rows, time, context.shape[-1]), x], axis=-1)
            x = jnp.tanh(self.combine(both))
        attended = x[:, -1].astype(jnp.float32) if self.input_feeding else ()
        x = self.drop(x, deterministic=not train)
        logits = self.table.attend(self.narrow(x)) + self.bias if self.tied else self.output(x)
        return (
            logits.astype(jnp.float32),
            DecoderCarry(carries, carry.position + time, attended),
            weights,
        )


class Seq2Seq(nn.Module):
    """P(y | x): an encoder and a decoder. A search uses `start` and `step`.

    >>> import jax
    >>> model = Seq2Seq(Encoder(20, 8, 16), Decoder(30, 8, 16))
    >>> source, lengths = jnp.ones((2, 5), int), jnp.array([5, 3])
    >>> inputs = jnp.ones((2, 4), int)
    >>> logits, variables = jax.jit(model.init_with_output)(
    ...     jax.random.key(0), source, lengths, inputs
    ... )
    >>> logits.shape
    (2, 4, 30)
    """

    encoder: Encoder
    decoder: Decoder

    def __call__(
        self, source: Array, lengths: Array, inputs: Array, *, train: bool = False
    ) -> Array:
        """Return logits float32 [B, T, V].

        source: int32 [B, S], with lengths int32 [B]. inputs: int32 [B, T], the symbol before each
        target symbol.
        """
        carry, memory = self.decoder.start(self.encoder(source, lengths, train=train))
        return self.decoder(inputs, carry, memory, train=train)

    def start(self, source: Array, lengths: Array) -> tuple[DecoderCarry, Memory | None]:
        """Return the initial (carry, memory) of the decoder for a batch of sources."""
        return self.decoder.start(self.encoder(source, lengths))

    def step(
        self, tokens: Array, carry: DecoderCarry, memory: Memory | None = None
    ) -> tuple[Any, ...]:
        """Call `Decoder.step`."""
        return self.decoder.step(tokens, carry, memory)
