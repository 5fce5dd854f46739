"""Modified Kneser-Ney smoothing: an n-gram language model of counts, in numpy.

No library fits: NLTK has only the unmodified smoothing and scores one word at a time, KenLM counts
with a C++ program that must be compiled, and neither scores exactly the same words as our networks.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

MAX_TABLE = 2**24  # entries of four bytes each

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts determine none


class Order(NamedTuple):
    """The k-grams of one order k, whose contexts have k - 1 words.

    contexts: sorted keys int64 [C], `id of the context without its first word * V + first word`;
    the id of a context is its index in this array. grams: sorted keys int64 [G], `context id * V +
    word`. discounted: float64 [G], (c - D(c)) / c(context). backoff: float64 [C], the mass left for
    the next lower order. discounts: float64 [3], D1, D2 and D3+.
    """

    contexts: np.ndarray
    grams: np.ndarray
    discounted: np.ndarray
    backoff: np.ndarray
    discounts: np.ndarray


class KneserNey(NamedTuple):
    """A fitted model: its orders from 1 up, and the number V of words."""

    orders: tuple[Order, ...]
    vocabulary: int


def fit_kneser_ney(grams: np.ndarray, vocabulary: int) -> KneserNey:
    """Fit an interpolated modified Kneser-Ney model to the n-grams of a text.

    P_k(w | h) = (c(h w) - D(c(h w))) / c(h) + b(h) P_{k-1}(w | h without its first word), where
    c(h) = sum_w c(h w) and b(h) makes the probabilities sum to 1, and P_0 = 1 / V. At the
    highest order c counts occurrences, at all others the distinct preceding words. An unseen
    context has the probabilities of the next lower order. D is 0, D1, D2 or D3+ for c = 0, 1, 2 and
    more, from the numbers n_i of k-grams with c = i: Y = n_1 / (n_1 + 2 n_2) and
    D_i = i - (i + 1) Y n_{i+1} / n_i. Where n_1, n_2 or n_3 is 0 or some D_i is not positive, as in
    small texts and with few words, the discounts of the order are FALLBACK.

    grams: int [N, n], every n-gram of the text as often as it occurs, words in order; ids below
    `vocabulary`. Raises ValueError without n-grams, for n = 0, and for an id outside the
    vocabulary. Source: Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language
    Modeling", 1998.

    >>> model = fit_kneser_ney(np.array([[0, 1], [1, 0], [0, 1]]), vocabulary=3)
    >>> p = np.exp(ngram_log_probs(model, np.array([[0, 0], [0, 1], [0, 2]])))
    >>> int(p.argmax()), float(p.sum().round(6))
    (1, 1.0)
    """
    grams = _validated(grams, vocabulary)
    if not len(grams):
        raise ValueError(f"there are no n-grams to count, got shape {grams.shape}")
    context, contexts = np.zeros(len(grams), np.int64), [np.zeros(1, np.int64)]
    for word in grams.T[-2::-1]:
        keys, context = np.unique(context * vocabulary + word, return_inverse=True)
        contexts.append(keys)
    keys, counts = np.unique(context * vocabulary + grams[:, -1], return_counts=True)
    orders = [_order(contexts[-1], keys, counts, vocabulary)]
    for longer, shorter in zip(contexts[:0:-1], contexts[-2::-1], strict=True):
        context, word = np.divmod(keys, vocabulary)
        shortened = longer[context] // vocabulary * vocabulary + word
        keys, counts = np.unique(shortened, return_counts=True)
        orders.append(_order(shorter, keys, counts, vocabulary))
    return KneserNey(tuple(orders[::-1]), vocabulary)


def ngram_log_probs(model: KneserNey, grams: np.ndarray) -> np.ndarray:
    """Return log P(last word | preceding words) in nats, float64 [N], of n-grams int [N, n].

    Raises ValueError when n is not the order of the model or an id is outside the vocabulary.
    """
    grams = _validated(grams, model.vocabulary)
    if grams.shape[1] != len(model.orders):
        raise ValueError(
            f"a model of order {len(model.orders)} needs n-grams of that length, got {grams.shape}"
        )
    p = np.full(len(grams), 1 / model.vocabulary)
    context = np.zeros(len(grams), np.int64)
    preceding = [0 * grams[:, -1], *grams.T[-2::-1]]
    for order, word in zip(model.orders, preceding, strict=True):
        # a missing context, -1, gives a negative key, which is missing as well
        context = _find(order.contexts, context * model.vocabulary + word)
        index = _find(order.grams, context * model.vocabulary + grams[:, -1])
        discounted = np.where(index < 0, 0.0, order.discounted[index])
        p = np.where(context < 0, p, discounted + order.backoff[context] * p)
    return np.log(p)


def discounts(counts: np.ndarray) -> np.ndarray:
    """Return D1, D2 and D3+, float64 [3], from the counts int [G] of the k-grams of an order."""
    n = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].astype(float)
    if n[:3].all():
        i = np.arange(1, 4)
        values = i - (i + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
        if (values > 1e-9).all():  # D_i never exceeds i; a D_i of 0 leaves no mass for unseen words
            return values
    return np.array(FALLBACK)


def _order(contexts: np.ndarray, keys: np.ndarray, counts: np.ndarray, vocabulary: int) -> Order:
    """Return the order with these contexts, keys of k-grams, and their counts."""
    values = discounts(counts)
    removed = values[np.minimum(counts, 3) - 1]
    context = keys // vocabulary
    total = np.bincount(context, counts, len(contexts))
    backoff = np.bincount(context, removed, len(contexts)) / total
    return Order(contexts, keys, (counts - removed) / total[context], backoff, values)


def _find(keys: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the index of each query among sorted keys, -1 where it is not one of them."""
    indices = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[indices] == queries, indices, -1)


def _validated(grams: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return the n-grams as int64, or raise ValueError for their shape or ids."""
    grams = np.asarray(grams)
    if grams.ndim != 2 or not grams.shape[1]:
        raise ValueError(f"n-grams must have shape [N, n], n at least 1, got {grams.shape}")
    if grams.size and not (grams.min() >= 0 and grams.max() < vocabulary):
        raise ValueError(
            f"ids must be in 0 .. {vocabulary - 1}, got {grams.min()} .. {grams.max()}"
        )
    return grams.astype(np.int64)


def ngram_table(model: KneserNey) -> np.ndarray:
    """Return log P float32 [V^(n - 1), V] of each symbol after each context of n - 1 symbols.

    The symbols of a context are the base-V digits of its row, the last symbol least significant.
    Raises ValueError when the table would have more than MAX_TABLE entries.
    """
    symbols, order = model.vocabulary, len(model.orders)
    if symbols**order > MAX_TABLE:
        raise ValueError(
            f"a table of {order}-grams of {symbols} symbols has {symbols**order} entries, "
            f"more than {MAX_TABLE}"
        )
    key = np.arange(symbols**order)
    grams = np.stack([key // symbols**power % symbols for power in range(order)[::-1]], axis=1)
    return ngram_log_probs(model, grams).reshape(-1, symbols).astype(np.float32)


def table_step(table: Any, tokens: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Step function of `nets.decoding`: return (logits [N, V], carry), carry int32 [N] the context.

    table: from `ngram_table`. A carry of zeros starts a text, preceded by symbol 0.
    """
    contexts, symbols = table.shape
    carry = (carry * symbols + tokens) % contexts
    return table[carry], carry
