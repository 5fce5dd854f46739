"""Every path of a small network, what it spells and how probable it is: no clever sums."""

import itertools
from collections import defaultdict

import numpy as np


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def spelt(path, blank):
    """Repeats merged, then blanks dropped."""
    merged = [symbol for symbol, _ in itertools.groupby(path)]
    return tuple(symbol for symbol in merged if symbol != blank)


def by_label(logits, blank=0):
    """{label: {path: log probability}} of logits [T, V] without padding."""
    log_probs, found = log_softmax(logits), defaultdict(dict)
    time, symbols = log_probs.shape
    for path in itertools.product(range(symbols), repeat=time):
        found[spelt(path, blank)][path] = sum(log_probs[t, s] for t, s in enumerate(path))
    return found


def totals(logits, blank=0):
    """{label: log probability}."""
    paths = by_label(logits, blank)
    return {label: np.logaddexp.reduce(list(own.values())) for label, own in paths.items()}
