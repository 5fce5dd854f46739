"""Skip-gram word vectors: two tables of vectors and the products of their rows.

Source: Mikolov, Chen, Corrado and Dean 2013; Mikolov, Sutskever, Chen, Corrado and Dean 2013.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class SkipGram(nn.Module):
    """Scores s_ij = v_i . u_j of word vectors v_i and output vectors u_j.

    vocabulary: rows V of the table "words", the word vectors. outputs: rows of the table "outputs",
    V for softmax and negative sampling, V - 1 inner nodes for a Huffman tree. As in the authors'
    program, initial word vectors are uniform in +- 1 / (2 D) and initial output vectors zero.

    >>> model = SkipGram(vocabulary=9, outputs=9, features=4)
    >>> words, outputs = jnp.zeros((2, 5), jnp.int32), jnp.zeros((2, 3), jnp.int32)
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), words, outputs)[0].shape
    (2, 5, 3)
    """

    vocabulary: int
    outputs: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        words: jax.Array,
        outputs: jax.Array | None = None,
        word_scale: jax.Array | None = None,
        output_scale: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        """Return scores float32 [B, I, S] of words int32 [B, I] against outputs int32 [B, S].

        Without `outputs`, the scores are against the whole table. word_scale float32 [B, I] and
        output_scale [B, S] multiply the gradient of each row (default 1). Rows are read from the
        collection "rows" if it has them under the name of the table, otherwise from the table.
        """
        size = self.features

        def small_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jax.random.uniform(key, shape, dtype, -0.5 / size, 0.5 / size)

        zeros = nn.initializers.zeros
        vectors = self._rows("words", small_uniform, self.vocabulary, words, word_scale)
        if outputs is None:
            table = self.param("outputs", zeros, (self.outputs, size), jnp.float32)
            return _products("bid,sd->bis", vectors, table, self.dtype)
        rows = self._rows("outputs", zeros, self.outputs, outputs, output_scale)
        return _products("bid,bsd->bis", vectors, rows, self.dtype)

    def _rows(
        self, name: str, init: Any, size: int, ids: jax.Array, scale: jax.Array | None
    ) -> jax.Array:
        """Return the rows of a table at `ids`, [*ids.shape, D], with scaled gradients."""
        table = self.param(name, init, (size, self.features), jnp.float32)
        rows = self.get_variable("rows", name) if self.has_variable("rows", name) else table[ids]
        if scale is None:
            return rows
        scale = scale[..., None]
        return scale * rows + jax.lax.stop_gradient((1 - scale) * rows)


def _products(spec: str, a: jax.Array, b: jax.Array, dtype: Any) -> jax.Array:
    return jnp.einsum(spec, a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


def context_mask(radius: jax.Array, sentence: jax.Array) -> jax.Array:
    """Return float32 [B, I, C], 1 where word i is in the context window of centre c; I = C + 2 W.

    radius: int32 [B, C], words to each side in the window of a centre, at most W; 0 for an empty
    window. sentence: int32 [B, I], sentence number of each word; the centres are the middle C of
    the I words. A window neither extends beyond its sentence nor contains its centre.
    """
    words, centres = sentence.shape[1], radius.shape[1]
    side = (words - centres) // 2
    distance = abs(jnp.arange(words)[:, None] - side - jnp.arange(centres)[None])
    same = sentence[:, :, None] == sentence[:, None, side : side + centres]
    inside = distance.astype(jnp.int32)[None] <= radius[:, None].astype(jnp.int32)
    return ((distance > 0)[None] & inside & same).astype(jnp.float32)


def path_log_probabilities(scores: jax.Array, branches: jax.Array) -> jax.Array:
    """Return log P(leaf) = sum_l log sigmoid(branch_l s_l) over the nodes of its path, [...].

    scores: float32 [..., L], of the inner nodes. branches: float32 [..., L], 1 or -1, 0 at padding.
    """
    return jnp.where(branches != 0, jax.nn.log_sigmoid(branches * scores), 0.0).sum(axis=-1)
