"""All paths of a small network, with the label and the probability of each, by enumeration."""

import itertools
from collections import defaultdict

import numpy as np


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def spell(path, blank):
    """Repeats merged, then blanks dropped."""
    merged = [symbol for symbol, _ in itertools.groupby(path)]
    return tuple(symbol for symbol in merged if symbol != blank)


def by_label(logits, blank=0):
    """{label: {path: log probability}} of logits [T, V] without padding."""
    log_probs, paths = log_softmax(logits), defaultdict(dict)
    time, symbols = log_probs.shape
    for path in itertools.product(range(symbols), repeat=time):
        paths[spell(path, blank)][path] = sum(log_probs[t, s] for t, s in enumerate(path))
    return paths


def totals(logits, blank=0):
    """{label: log probability}."""
    paths = by_label(logits, blank)
    return {label: np.logaddexp.reduce(list(own.values())) for label, own in paths.items()}
