"""Recurrent language model: symbols in, logits of the next symbol out."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.cells import CELLS
from ..recurrent.layers import RNN
from .adaptive_softmax import AdaptiveSoftmax
from .sampled_softmax import log_uniform_log_prob, log_uniform_samples, sampled_log_prob

SOFTMAXES = ("full", "sampled", "adaptive")


def plus_minus(limit: float):
    """Initialiser that is uniform in -limit to limit."""

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return draw


class LanguageModel(nn.Module):
    """P(x_{t+1} given x_1 .. x_t) = softmax(V h_t + b), h_t of a deep recurrent network.

    The lectures' network of 100 tanh units is `cell="rnn", hidden=100, layers=1, embedding=0`.

    vocabulary: symbols. cell: "rnn", "gru" or "lstm". embedding: width of the learned embedding;
    0 feeds one-hot vectors. tied: V is the embedding's table, and the last of
    several layers has its width (Inan et al. 2017, Press and Wolf 2017).
    input_scale: standard deviation of the kernel that one-hot vectors meet, which picks a row of it
    for each symbol; 0 for LeCun's rule, which makes it smaller for more symbols. init_range: where
    kernels and embedding start, uniform in +- init_range (Zaremba et al. 2014); 0: by their rules.
    dtype: that of the products.

    softmax: one of SOFTMAXES, for large vocabularies whose ids are ranks by frequency. "sampled":
    in training from `samples` words drawn log-uniformly at each step, else full. "adaptive": by
    clusters that begin at `cutoffs`; not with tied.

    Regularisers of training. dropout: of the inputs of every layer but the first, and of the last
    layer's output. embedding_dropout: of the embeddings. variational: both with one mask for all
    steps of a window. word_dropout: of symbols, each everywhere in the batch (Gal and Ghahramani
    2016). weight_drop: of the recurrent kernels. activation_penalty, change_penalty: factors of
    the mean of x^2 and of (h_t - h_{t-1})^2, h the last layer's output and x what dropout leaves
    of it, in the collection "penalties" (AR and TAR of Merity et al. 2018).
    """

    vocabulary: int
    cell: str = "lstm"
    hidden: int = 128
    layers: int = 1
    embedding: int = 0
    dropout: float = 0.0
    input_scale: float = 0.0
    dtype: Any = jnp.float32
    embedding_dropout: float = 0.0
    tied: bool = False
    init_range: float = 0.0
    variational: bool = False
    word_dropout: float = 0.0
    weight_drop: float = 0.0
    activation_penalty: float = 0.0
    change_penalty: float = 0.0
    softmax: str = "full"
    samples: int = 1000
    cutoffs: tuple[int, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Units of each layer."""
        last = self.embedding if self.tied and self.layers > 1 else self.hidden
        return [self.hidden] * (self.layers - 1) + [last]

    def setup(self):
        """Declare the embedding, the layers and the output product."""
        if self.tied and not self.embedding:
            raise ValueError("tied needs an embedding, got embedding 0")
        if self.tied and self.widths[-1] != self.embedding:
            raise ValueError(
                "tied with one layer needs embedding and hidden to be equal, got "
                f"{self.embedding} and {self.hidden}"
            )
        if self.tied and self.softmax == "adaptive":
            raise ValueError("tied needs softmax full or sampled, got adaptive")
        within = plus_minus(self.init_range) if self.init_range else None
        kernel = within or nn.initializers.lecun_normal()
        recurrent = within or nn.initializers.orthogonal()
        first = nn.initializers.normal(self.input_scale) if self.input_scale else kernel
        if self.embedding:
            self.embed = nn.Embed(
                self.vocabulary,
                self.embedding,
                dtype=self.dtype,
                embedding_init=within or nn.Embed.embedding_init,
            )
        self.recurrent = [
            RNN(
                CELLS[self.cell](
                    width,
                    dtype=self.dtype,
                    kernel_init=kernel if number else first,
                    recurrent_init=recurrent,
                ),
                weight_drop=self.weight_drop,
            )
            for number, width in enumerate(self.widths)
        ]
        if self.tied:
            self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))
        elif self.softmax == "adaptive":
            self.output: Any = AdaptiveSoftmax(
                self.vocabulary, self.cutoffs, kernel_init=kernel, dtype=self.dtype
            )
        else:
            self.output = nn.Dense(self.vocabulary, kernel_init=kernel, dtype=self.dtype)
        shared = (1,) if self.variational else ()  # the axis of time
        self.drop = nn.Dropout(self.dropout, broadcast_dims=shared)
        self.drop_embeddings = nn.Dropout(self.embedding_dropout, broadcast_dims=shared)
        self.drop_words = nn.Dropout(self.word_dropout)

    @nn.nowrap
    def initialize_carry(self, batch: int):
        """Zero carry of every layer, for `batch` rows."""
        cells = [CELLS[self.cell](width, parent=None) for width in self.widths]
        key = jax.random.key(0)
        return tuple(cell.initialize_carry(key, (batch, cell.features)) for cell in cells)

    def __call__(self, tokens, carry, resets=None, targets=None, *, train: bool = False):
        """Return (logits float32 [B, T, V], carry).

        tokens: int32 [B, T]. carry: as `initialize_carry`, or what an earlier call returned.
        resets: [B, T], non-zero where a row starts afresh, or None. targets: int32 [B, T]; with
        them, in training by a softmax that is not full, log P of them float32 [B, T] stands in the
        place of the logits: estimated where it is sampled.
        """
        x, carry = self.states(tokens, carry, resets, train=train)
        if not train or targets is None or self.softmax == "full":
            return self.logits(x), carry
        if self.softmax == "adaptive":
            return self.output(x, targets), carry
        return self.sampled_log_prob(x, targets), carry

    def states(self, tokens, carry, resets=None, *, train: bool = False):
        """Return (outputs of the last layer, dropped out in training [B, T, H], carry)."""
        if self.embedding:
            x = self.drop_embeddings(self.embed(tokens), deterministic=not train)
        else:
            x = jax.nn.one_hot(tokens, self.vocabulary, dtype=self.dtype)
        if self.word_dropout:
            kept = self.drop_words(jnp.ones(self.vocabulary, x.dtype), deterministic=not train)
            x = x * kept[tokens][..., None]
        carries = []
        for layer, initial in zip(self.recurrent, carry, strict=True):
            final, h = layer(x, resets=resets, initial_carry=initial, deterministic=not train)
            x = self.drop(h, deterministic=not train)
            carries.append(final)
        if train and self.activation_penalty:
            self.sow("penalties", "activation", self.activation_penalty * jnp.mean(x**2))
        if train and self.change_penalty and h.shape[1] > 1:  # one step has no change
            change = jnp.diff(h, axis=1)
            self.sow("penalties", "change", self.change_penalty * jnp.mean(change**2))
        return x, tuple(carries)

    def logits(self, x):
        """Logits float32 [..., V] of what `states` returned; an adaptive softmax's are log P."""
        logits = self.embed.attend(x) + self.bias if self.tied else self.output(x)
        return logits.astype(jnp.float32)

    def sampled_log_prob(self, x, targets):
        """Estimate of log P(target) float32 [B, T], from words drawn by the stream "dropout"."""
        samples = log_uniform_samples(self.make_rng("dropout"), self.samples, self.vocabulary)
        ids = jnp.concatenate([targets.ravel(), samples])
        if self.tied:
            columns, bias = self.embed.embedding[ids].T, self.bias[ids]
        else:
            whole = self.output.variables["params"]
            columns, bias = jnp.take(whole["kernel"], ids, axis=1), whole["bias"][ids]
        x, columns, bias = (a.astype(self.dtype) for a in (x, columns, bias))
        own = jnp.einsum("nd,dn->n", x.reshape(-1, x.shape[-1]), columns[:, : targets.size])
        own = (own + bias[: targets.size]).astype(jnp.float32).reshape(targets.shape)
        scores = (x @ columns[:, targets.size :] + bias[targets.size :]).astype(jnp.float32)
        log_q = log_uniform_log_prob(samples, self.vocabulary)
        return sampled_log_prob(own, scores, targets, samples, log_q)
