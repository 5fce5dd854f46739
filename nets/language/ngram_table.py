"""An n-gram model of few symbols as one table: a language model for the searches."""

import numpy as np

from .kneser_ney import KneserNey, log_probs

LARGEST = 2**24  # entries, of four bytes each


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
