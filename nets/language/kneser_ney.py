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


def fit_kneser_ney(grams: np.ndarray, vocabulary: int, start: int | None = None) -> KneserNey:
    """Fit an interpolated modified Kneser-Ney model to the n-grams of a text.

    P_k(w | h) = (c(h w) - D(c(h w))) / c(h) + b(h) P_{k-1}(w | h without its first word), where
    c(h) = sum_w c(h w) and b(h) makes the probabilities sum to 1, and P_0 = 1 / V. At the
    highest order c counts occurrences, at all others the distinct preceding words. An unseen
    context has the probabilities of the next lower order. D is 0, D1, D2 or D3+ for c = 0, 1, 2 and
    more, from the numbers n_i of k-grams with c = i, see `discounts`.

    grams: int [N, n], every n-gram of the text as often as it occurs, words in order; ids below
    `vocabulary`. start: the id of the start of a sentence, repeated before its first word as often
    as needed; as the last word of an n-gram, this id is the end of a sentence. No context then has
    more than one start, and c counts the occurrences of k-grams that begin with a start in every
    order, since nothing precedes them, as in KenLM's lmplz. None: the text is not divided.

    Raises ValueError without n-grams, for n = 0, for an id outside the vocabulary, and if no
    sentence is as long as the contexts. Source: Chen and Goodman, "An Empirical Study of Smoothing
    Techniques for Language Modeling", 1998; the start: Heafield et al. 2013.

    >>> model = fit_kneser_ney(np.array([[0, 1], [1, 0], [0, 1]]), vocabulary=3)
    >>> p = np.exp(ngram_log_probs(model, np.array([[0, 0], [0, 1], [0, 2]])))
    >>> int(p.argmax()), float(p.sum().round(6))
    (1, 1.0)
    """
    grams = _validated(grams, vocabulary)
    if not len(grams):
        raise ValueError(f"there are no n-grams to count, got shape {grams.shape}")
    order = grams.shape[1]
    context, contexts = np.zeros(len(grams), np.int64), [np.zeros(1, np.int64)]
    occurrences = []  # keys of the k-grams that are counted as often as they occur
    for k in range(1, order + 1):
        if k > 2 and start is not None:
            begun = grams[:, 1 - k] != start  # else the k-gram has two starts
            grams, context = grams[begun], context[begun]
            if not len(grams):
                raise ValueError(f"no sentence has {k - 1} words: an order of {order} is too high")
        if k > 1:
            keys, context = np.unique(context * vocabulary + grams[:, -k], return_inverse=True)
            contexts.append(keys)
        counted = np.full(len(grams), k == order)
        if k > 1 and start is not None:
            counted |= grams[:, -k] == start
        occurrences.append((context * vocabulary + grams[:, -1])[counted])
    keys, counts = np.unique(occurrences[-1], return_counts=True)
    orders = [_order(contexts[-1], keys, counts, vocabulary)]
    for k in range(order - 1, 0, -1):
        context, word = np.divmod(keys, vocabulary)
        shortened = contexts[k][context] // vocabulary * vocabulary + word
        keys, counts = np.unique(np.append(shortened, occurrences[k - 1]), return_counts=True)
        orders.append(_order(contexts[k - 1], keys, counts, vocabulary))
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
        context = find(order.contexts, context * model.vocabulary + word)
        index = find(order.grams, context * model.vocabulary + grams[:, -1])
        discounted = np.where(index < 0, 0.0, order.discounted[index])
        p = np.where(context < 0, p, discounted + order.backoff[context] * p)
    return np.log(p)


def discounts(counts: np.ndarray) -> np.ndarray:
    """Return D1, D2 and D3+, float64 [3], from the counts int [G] of the k-grams of an order.

    D_i = i - (i + 1) Y n_{i+1} / n_i with Y = n_1 / (n_1 + 2 n_2). In small texts, and with few
    words, some n_i are 0 or not typical. The discounts are FALLBACK unless all are above 0, which
    leaves some mass for unseen words, and the rest of each count, i - D_i, is above 0 and increases
    with i: otherwise a k-gram would be no more probable than a rarer one. Source of the fallback:
    lmplz of KenLM, --discount_fallback.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].astype(float)
    if n[:3].all():
        i = np.arange(1, 4)
        left = (i + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
        values = i - left
        small = 1e-9  # what rounding leaves of 0
        if (values > small).all() and (np.diff(left, prepend=0) > small).all():
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


def find(keys: np.ndarray, queries: np.ndarray) -> np.ndarray:
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
