"""Recurrent language model: from symbols to logits of the next symbol."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..recurrent.layers import RNN, Stacked
from ..recurrent.variants import ALL_CELLS
from ..shapes import by_part, parts_of

SOFTMAXES = ("full", "sampled", "adaptive")


def symmetric_uniform(limit: float) -> Any:
    """Return an initialiser that is uniform from -limit to limit."""

    def draw(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return draw


class LanguageModel(nn.Module):
    """P(x_{t+1} given x_1 .. x_t) = softmax(V h_t + b), with h_t of a deep recurrent network.

    The lectures' network of 100 tanh units is `cell="rnn", hidden=100, layers=1, embedding=0`.

    vocabulary: number of symbols. cell: a name in ALL_CELLS. embedding: width of the learned
    embedding; 0 feeds one-hot vectors. tied: V is the embedding table, and the last of several
    layers has the width of the embedding (Inan et al. 2017, Press and Wolf 2017).
    input_scale: standard deviation of the kernel that one-hot vectors select rows of; 0 for LeCun's
    rule, which shrinks with the number of symbols. init_range: kernels and embedding are
    initialised uniformly in +- init_range (Zaremba et al. 2014); 0 for their own initialisers.
    dtype: that of the products.

    softmax: one of SOFTMAXES; the last two are for large vocabularies whose ids are frequency
    ranks. "sampled": training estimates the sum from `samples` log-uniformly drawn words per step;
    evaluation is full. "adaptive": clusters start at `cutoffs`; it cannot be tied.

    Regularisation, in training only. dropout: on the inputs of every layer but the first, and on
    the last output. embedding_dropout: on the embeddings. variational: one dropout mask for all
    steps of a window. word_dropout: drops symbols, each everywhere in the batch (Gal and Ghahramani
    2016). weight_drop: on the recurrent kernels. activation_penalty, change_penalty: factors of the
    means of x^2 and of (h_t - h_{t-1})^2, where h is the output of the last layer and x is h after
    dropout; sown into the collection "penalties" (AR and TAR of Merity et al. 2018).

    >>> model = LanguageModel(vocabulary=30, hidden=8)
    >>> tokens, carry = jnp.zeros((2, 5), jnp.int32), model.initialize_carry(2)
    >>> inputs = jax.random.key(0), tokens, carry
    >>> (logits, carry), variables = jax.eval_shape(model.init_with_output, *inputs)
    >>> logits.shape, carry[0].h.shape
    ((2, 5, 30), (2, 8))
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
        """Number of units in each layer."""
        last = self.embedding if self.tied and self.layers > 1 else self.hidden
        return [self.hidden] * (self.layers - 1) + [last]

    def setup(self) -> None:
        """Declare the embedding, the layers and the output layer."""
        if self.tied and not self.embedding:
            raise ValueError("tied needs an embedding, got embedding 0")
        if self.tied and self.widths[-1] != self.embedding:
            raise ValueError(
                "tied with one layer needs equal embedding and hidden, got "
                f"{self.embedding} and {self.hidden}"
            )
        if self.tied and self.softmax == "adaptive":
            raise ValueError("tied needs softmax full or sampled, got adaptive")
        uniform = symmetric_uniform(self.init_range) if self.init_range else None
        kernel = uniform or nn.initializers.lecun_normal()
        recurrent = uniform or nn.initializers.orthogonal()
        first = nn.initializers.normal(self.input_scale) if self.input_scale else kernel
        if self.embedding:
            self.embed = nn.Embed(
                self.vocabulary,
                self.embedding,
                dtype=self.dtype,
                embedding_init=uniform or nn.Embed.embedding_init,
            )
        self.recurrent = [
            RNN(
                ALL_CELLS[self.cell](
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
            from .adaptive_softmax import AdaptiveSoftmax

            self.output: Any = AdaptiveSoftmax(
                self.vocabulary, self.cutoffs, kernel_init=kernel, dtype=self.dtype
            )
        else:
            self.output = nn.Dense(self.vocabulary, kernel_init=kernel, dtype=self.dtype)
        time_axis = (1,) if self.variational else ()
        self.drop = nn.Dropout(self.dropout, broadcast_dims=time_axis)
        self.stack = Stacked(self.recurrent, self.drop)
        self.drop_embeddings = nn.Dropout(self.embedding_dropout, broadcast_dims=time_axis)
        self.drop_words = nn.Dropout(self.word_dropout)

    @nn.nowrap
    def initialize_carry(self, batch: int) -> Any:
        """Return a tuple of the zero carry of every layer, for `batch` rows."""
        cells = [ALL_CELLS[self.cell](width, parent=None) for width in self.widths]
        key = jax.random.key(0)
        return tuple(cell.initialize_carry(key, (batch, cell.features)) for cell in cells)

    def __call__(
        self,
        tokens: jax.Array,
        carry: Any,
        resets: jax.Array | None = None,
        targets: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> tuple[jax.Array, Any]:
        """Return (logits float32 [B, T, V], carry).

        tokens: int32 [B, T]. carry: from `initialize_carry` or an earlier call. resets: [B, T],
        non-zero where the state of a row is reset before the step, or None. targets: int32 [B, T]
        or None; with targets, training by a softmax other than "full" returns their log P float32
        [B, T] instead of logits, an estimate for "sampled".
        """
        x, carry = self.states(tokens, carry, resets, train=train)
        if not train or targets is None or self.softmax == "full":
            return self.logits(x), carry
        if self.softmax == "adaptive":
            return self.output(x, targets), carry
        return self.sampled_log_prob(x, targets), carry

    def states(
        self, tokens: jax.Array, carry: Any, resets: jax.Array | None = None, *, train: bool = False
    ) -> tuple[jax.Array, Any]:
        """Return (outputs [B, T, H] of the last layer, after dropout in training; carry)."""
        if self.embedding:
            x = self.drop_embeddings(self.embed(tokens), deterministic=not train)
        else:
            x = jax.nn.one_hot(tokens, self.vocabulary, dtype=self.dtype)
        if self.word_dropout:
            scale = self.drop_words(jnp.ones(self.vocabulary, x.dtype), deterministic=not train)
            x = x * scale[tokens][..., None]
        carry, h = self.stack(x, resets=resets, initial_carry=carry, train=train)
        x = self.drop(h, deterministic=not train)
        if train and self.activation_penalty:
            self.sow("penalties", "activation", self.activation_penalty * jnp.mean(x**2))
        if train and self.change_penalty and h.shape[1] > 1:  # one step has no change
            change = jnp.diff(h, axis=1)
            self.sow("penalties", "change", self.change_penalty * jnp.mean(change**2))
        return x, carry

    def logits(self, x: jax.Array) -> jax.Array:
        """Return logits float32 [..., V] of outputs of `states`; log P with adaptive softmax."""
        logits = self.embed.attend(x) + self.bias if self.tied else self.output(x)
        return logits.astype(jnp.float32)

    def sampled_log_prob(self, x: jax.Array, targets: jax.Array) -> jax.Array:
        """Estimate log P(target) float32 [B, T] from words sampled with the stream "dropout"."""
        from .sampled_softmax import log_uniform_log_prob, log_uniform_samples, sampled_log_prob

        samples = log_uniform_samples(self.make_rng("dropout"), self.samples, self.vocabulary)
        output = None if self.tied else self.output.variables["params"]

        def scores_of(x: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
            """Scores of a part of the batch: of the targets [n], and of the samples [n, S]."""
            ids = jnp.concatenate([targets, samples])  # read together
            if output is None:
                columns, bias = self.embed.embedding[ids].T, self.bias[ids]
            else:
                columns, bias = jnp.take(output["kernel"], ids, axis=1), output["bias"][ids]
            x, columns, bias = (a.astype(self.dtype) for a in (x, columns, bias))
            own = jnp.einsum("nd,dn->n", x, columns[:, : targets.size]) + bias[: targets.size]
            scores = x @ columns[:, targets.size :] + bias[targets.size :]
            return own.astype(jnp.float32), scores.astype(jnp.float32)

        parts = parts_of(len(targets))
        rows = x.reshape(parts, targets.size // parts, x.shape[-1])
        target_scores, scores = by_part(scores_of, rows, targets.reshape(parts, -1))
        target_scores = target_scores.reshape(targets.shape)
        scores = scores.reshape(*targets.shape, len(samples))
        log_q = log_uniform_log_prob(samples, self.vocabulary)
        return sampled_log_prob(target_scores, scores, targets, samples, log_q)
