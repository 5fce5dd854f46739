"""Modified Kneser-Ney smoothing: an n-gram language model of counts, in numpy.

Ours, since NLTK's is the unmodified one, a word at a time, and KenLM's counting is a C++ program to
be compiled; neither keeps to the words that our networks are scored on.
"""

from typing import NamedTuple

import numpy as np

LARGEST = 2**24  # entries, of four bytes each

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts give none


class Order(NamedTuple):
    """What one order k of the model knows, its contexts of k - 1 words.

    contexts: sorted keys int64 [C], `context one word shorter * V + the word before it`; the place
    in this array is the number of a context. grams: sorted keys int64 [G], `context * V + word`.
    seen: float64 [G], (c - D(c)) / sum of c. backoff: float64 [C], the mass left for the order
    below. discounts: float64 [3], D1, D2 and D3+.
    """

    contexts: np.ndarray
    grams: np.ndarray
    seen: np.ndarray
    backoff: np.ndarray
    discounts: np.ndarray


class KneserNey(NamedTuple):
    """Orders from 1 up, and the number V of words."""

    orders: tuple[Order, ...]
    vocabulary: int


def fit(grams: np.ndarray, vocabulary: int) -> KneserNey:
    """Interpolated modified Kneser-Ney model of a text's n-grams.

    P_k(w | h) = (c(h w) - D(c(h w))) / c(h) + b(h) P_{k-1}(w | h without its first word), with
    c(h) = sum_w c(h w) and b(h) such that all sums to 1; below the lowest order stands 1 / V. At
    the highest order c counts occurrences, below it the different words that stand before. A
    context that was never seen has the probabilities of the order below. D is 0, D1, D2 or D3+ for
    c = 0, 1, 2 and more, from the n_i k-grams with c = i: Y = n_1 / (n_1 + 2 n_2) and
    D_i = i - (i + 1) Y n_{i+1} / n_i. Where n_1, n_2 or n_3 is 0 or some D_i is not above 0, as
    for small texts and few words, the order's discounts are FALLBACK.

    grams: int [N, n], every n-gram of the text as often as it occurs, first word first; ids below
    `vocabulary`. ValueError: no n-grams, n = 0, or an id outside the vocabulary. Source: Chen and
    Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998.
    """
    grams = _checked(grams, vocabulary)
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


def log_probs(model: KneserNey, grams: np.ndarray) -> np.ndarray:
    """Log P(last word | those before it) in nats, float64 [N], of n-grams int [N, n].

    ValueError: n is not the order of the model, or an id is outside the vocabulary.
    """
    grams = _checked(grams, model.vocabulary)
    if grams.shape[1] != len(model.orders):
        raise ValueError(
            f"a model of order {len(model.orders)} needs as many words in a row, got {grams.shape}"
        )
    found = np.full(len(grams), 1 / model.vocabulary)
    context = np.zeros(len(grams), np.int64)
    before = [0 * grams[:, -1], *grams.T[-2::-1]]
    for order, word in zip(model.orders, before, strict=True):
        # -1, not found, gives a negative key, which is not found either
        context = _find(order.contexts, context * model.vocabulary + word)
        place = _find(order.grams, context * model.vocabulary + grams[:, -1])
        seen = np.where(place < 0, 0.0, order.seen[place])
        found = np.where(context < 0, found, seen + order.backoff[context] * found)
    return np.log(found)


def discounts(counts: np.ndarray) -> np.ndarray:
    """Return D1, D2 and D3+, float64 [3], of the counts int [G] of an order's k-grams."""
    n = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].astype(float)
    if n[:3].all():
        i = np.arange(1, 4)
        found = i - (i + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
        if (found > 1e-9).all():  # D_i is never above i; of 0, nothing is left for what is new
            return found
    return np.array(FALLBACK)


def _order(contexts: np.ndarray, keys: np.ndarray, counts: np.ndarray, vocabulary: int) -> Order:
    found = discounts(counts)
    taken = found[np.minimum(counts, 3) - 1]
    context = keys // vocabulary
    total = np.bincount(context, counts, len(contexts))
    backoff = np.bincount(context, taken, len(contexts)) / total
    return Order(contexts, keys, (counts - taken) / total[context], backoff, found)


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Place of each wanted key among sorted ones, -1 where it is none of them."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _checked(grams: np.ndarray, vocabulary: int) -> np.ndarray:
    grams = np.asarray(grams)
    if grams.ndim != 2 or not grams.shape[1]:
        raise ValueError(f"n-grams must have shape [N, n], n at least 1, got {grams.shape}")
    if grams.size and not (grams.min() >= 0 and grams.max() < vocabulary):
        raise ValueError(
            f"ids must be in 0 .. {vocabulary - 1}, got {grams.min()} .. {grams.max()}"
        )
    return grams.astype(np.int64)


def ngram_table(model: KneserNey) -> np.ndarray:
    """Log P float32 [V^(n - 1), V] of each symbol after each context of n - 1 symbols.

    The number of a context has its symbols as digits to the base V, the last one lowest. Raises
    ValueError where the table would have more than LARGEST entries.
    """
    symbols, order = model.vocabulary, len(model.orders)
    if symbols**order > LARGEST:
        raise ValueError(
            f"{order}-grams of {symbols} symbols are {symbols**order}, more than {LARGEST}"
        )
    number = np.arange(symbols**order)
    grams = np.stack([number // symbols**place % symbols for place in range(order)[::-1]], axis=1)
    return log_probs(model, grams).reshape(-1, symbols).astype(np.float32)


def table_step(table, tokens, carry):
    """Step function of `nets.decoding`: (logits [N, V], carry), carry int32 [N] the context.

    A carry of zeros is a text that begins: before it stands symbol 0.
    """
    contexts, symbols = table.shape
    carry = (carry * symbols + tokens) % contexts
    return table[carry], carry
