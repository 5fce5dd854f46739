"""N-gram models as lists of probabilities and backoff weights, the form of ARPA files, in numpy.

    P(w | h) = p(h w) if the n-gram h w is listed, else b(h) P(w | h without its first word),

where b(h) = 1 if h is not listed. This form describes every backoff model, and every interpolated
one, such as Kneser-Ney's. `data.text.arpa` reads and writes the files.
"""

from collections.abc import Sequence

import numpy as np

from .kneser_ney import KneserNey, Order, find, ngram_log_probs

# of the k-grams of an order: words int [G, k]; log p and log b, float64 [G], in nats
Level = tuple[np.ndarray, np.ndarray, np.ndarray]


def to_backoff(model: KneserNey) -> list[Level]:
    """Return (k-grams int64 [G, k], log p and log b float64 [G]) of every order k from 1 up.

    All words and all contexts are listed. log b is 0 for a k-gram that is no context.

    >>> from nets.language.kneser_ney import fit_kneser_ney
    >>> (words, log_p, log_b), (pairs, *_) = to_backoff(fit_kneser_ney(np.array([[0, 1]]), 2))
    >>> words.tolist(), np.exp(log_p), np.exp(log_b), pairs.tolist()
    ([[0], [1]], array([0.25, 0.75]), array([0.5, 1. ]), [[0, 1]])
    """
    contexts = [np.zeros((1, 0), np.int64)]
    for order in model.orders[1:]:
        rest, first = np.divmod(order.contexts, model.vocabulary)
        contexts.append(np.column_stack([first, contexts[-1][rest]]))
    levels = []
    for k, order in enumerate(model.orders, 1):
        context, word = np.divmod(order.grams, model.vocabulary)
        grams = np.column_stack([contexts[k - 1][context], word])
        if k == 1:
            grams = np.arange(model.vocabulary)[:, None]
        backoffs = np.zeros(len(grams))
        if k < len(model.orders):
            grams = np.unique(np.concatenate([grams, contexts[k]]), axis=0)
            ids = _context_ids(model.orders[: k + 1], grams, model.vocabulary)
            backoffs = np.where(ids < 0, 0.0, np.log(model.orders[k].backoff)[ids])
        shorter = KneserNey(model.orders[:k], model.vocabulary)
        levels.append((grams, ngram_log_probs(shorter, grams), backoffs))
    return levels


def from_backoff(levels: Sequence[Level], vocabulary: int) -> KneserNey:
    """Return the model of `to_backoff`, or of another source, in the form of Kneser-Ney models.

    Its `discounts` are NaN. Raises ValueError for an order without k-grams, and unless every word
    has a probability.

    >>> model = from_backoff([(np.array([[0], [1]]), np.log([0.25, 0.75]), np.zeros(2))], 2)
    >>> np.exp(ngram_log_probs(model, np.array([[1]])))
    array([0.75])
    """
    if empty_levels := [k for k, (grams, *_) in enumerate(levels, 1) if not len(grams)]:
        raise ValueError(f"there are no {empty_levels[0]}-grams in a model of order {len(levels)}")
    missing = set(range(vocabulary)) - set(levels[0][0][:, 0].tolist())
    if missing:
        raise ValueError(f"word {min(missing)} of {vocabulary} has no probability")
    # a context is needed for its n-grams, for its weight, and for a longer one that ends with it
    contexts = [np.zeros((0, len(levels)), np.int64)]
    for k in range(len(levels), 1, -1):
        shorter, _, weights = levels[k - 2]
        rows = levels[k - 1][0][:, :-1], shorter[weights != 0], contexts[-1][:, 1:]
        contexts.append(np.unique(np.concatenate(rows), axis=0))
    contexts.append(np.zeros((1, 0), np.int64))
    orders: list[Order] = []
    unknown = np.full(3, np.nan)
    for k, (grams, log_probs, _) in enumerate(levels, 1):
        words = contexts[-k]
        if k == 1:
            keys, backoff, lower = np.zeros(1, np.int64), np.zeros(1), np.zeros(len(grams))
        else:
            rest = _context_ids(orders, words[:, 1:], vocabulary)
            keys = rest * vocabulary + words[:, 0]
            ranks = np.argsort(keys)
            keys, words = keys[ranks], words[ranks]
            backoff = np.ones(len(keys))
            of_level = _gram_keys(orders, levels[k - 2][0], vocabulary)
            order = np.argsort(of_level)
            place = find(of_level[order], _gram_keys(orders, words, vocabulary))
            backoff = np.where(place < 0, 1.0, np.exp(levels[k - 2][2])[order][place])
            lower = np.exp(ngram_log_probs(KneserNey(tuple(orders), vocabulary), grams[:, 1:]))
        empty = np.zeros(0)
        orders.append(Order(keys, empty.astype(np.int64), empty, backoff, unknown))
        own = _gram_keys(orders, grams, vocabulary)
        ranks = np.argsort(own)
        discounted = np.exp(log_probs) - backoff[own // vocabulary] * lower
        orders[-1] = orders[-1]._replace(grams=own[ranks], discounted=discounted[ranks])
    return KneserNey(tuple(orders), vocabulary)


def _context_ids(orders: Sequence[Order], words: np.ndarray, vocabulary: int) -> np.ndarray:
    """Ids of contexts [N, k - 1] among those of the last of k orders, -1 where there is none."""
    ids = np.zeros(len(words), np.int64)
    for k, order in enumerate(orders[1:], 1):
        ids = find(order.contexts, ids * vocabulary + words[:, -k])
    return ids


def _gram_keys(orders: Sequence[Order], grams: np.ndarray, vocabulary: int) -> np.ndarray:
    """Keys int64 [N] of k-grams [N, k] in the last of k orders."""
    return _context_ids(orders, grams[:, :-1], vocabulary) * vocabulary + grams[:, -1]
