"""Skip-gram word vectors: two tables and the products of their rows.

Source: Mikolov, Chen, Corrado and Dean 2013; Mikolov, Sutskever, Chen, Corrado and Dean 2013.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


class SkipGram(nn.Module):
    """Scores s_ij = v_i . u_j of words i by their vectors v against output vectors u_j.

    vocabulary: rows V of the table "words", the word vectors. outputs: rows of the table "outputs":
    V for softmax and negative sampling, V - 1 inner nodes for a Huffman tree. As in the authors'
    program the word vectors begin uniform in +- 1 / (2 D), the output vectors at zero.
    """

    vocabulary: int
    outputs: int
    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, words, outputs=None, word_share=None, output_share=None, *, train: bool = False
    ):
        """Scores float32 [B, I, S] of words int32 [B, I] against outputs int32 [B, S].

        Without `outputs`: against the whole table. word_share float32 [B, I], output_share [B, S]:
        factor of the gradient of each row, 1 when not given. Where the collection "rows" holds what
        a table has at these ids, it is taken from there.
        """
        size = self.features

        def start(key, shape):
            return jax.random.uniform(key, shape, minval=-0.5 / size, maxval=0.5 / size)

        zeros = nn.initializers.zeros
        vectors = self._looked_up("words", start, self.vocabulary, words, word_share)
        if outputs is None:
            table = self.param("outputs", zeros, (self.outputs, size))
            return _products("bid,sd->bis", vectors, table, self.dtype)
        rows = self._looked_up("outputs", zeros, self.outputs, outputs, output_share)
        return _products("bid,bsd->bis", vectors, rows, self.dtype)

    def _looked_up(self, name: str, start, size: int, ids, share):
        table = self.param(name, start, (size, self.features))
        rows = self.get_variable("rows", name) if self.has_variable("rows", name) else table[ids]
        if share is None:
            return rows
        share = share[..., None]
        return share * rows + jax.lax.stop_gradient((1 - share) * rows)


def _products(spec: str, a, b, dtype):
    return jnp.einsum(spec, a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


def band(reach, sentence):
    """Which words are in the window of which, float32 [B, I, C], I = C + 2 W.

    reach: int32 [B, C], how far the window of each of C words goes to both sides, W at most; 0:
    nowhere. sentence: int32 [B, I], number of the sentence of each word, of which those in the
    middle are the C: a window ends where its sentence does.
    """
    words, centres = sentence.shape[1], reach.shape[1]
    side = (words - centres) // 2
    distance = abs(jnp.arange(words)[:, None] - side - jnp.arange(centres))
    own = sentence[:, :, None] == sentence[:, None, side : side + centres]
    return ((distance > 0) & (distance <= reach[:, None]) & own).astype(jnp.float32)


def path_log_probabilities(scores, turns):
    """Log of P(leaf) = prod_l sigmoid(turn_l s_l) over the inner nodes of its path, float32 [...].

    scores: float32 [..., L] of those nodes. turns: float32 [..., L], 1 or -1, 0 at padding.
    """
    return jnp.where(turns != 0, jax.nn.log_sigmoid(turns * scores), 0.0).sum(axis=-1)
