"""The table of an n-gram model says what the model says, context by context."""

import numpy as np
import pytest

from nets.language.kneser_ney import fit, log_probs, ngram_table, table_step


@pytest.mark.parametrize("order", [1, 2, 4])
def test_steps_along_a_text_give_what_the_counts_give(order):
    rng = np.random.default_rng(0)
    symbols = 5
    grams = rng.integers(0, symbols, (400, order))
    model = fit(grams, symbols)
    table = ngram_table(model)
    assert table.shape == (symbols ** (order - 1), symbols)
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1, rtol=1e-5)
    text = [0, *rng.integers(0, symbols, 7)]
    carry = np.zeros(1, np.int32)
    for place, token in enumerate(text):
        logits, carry = table_step(table, np.array([token]), carry)
        before = [*[0] * order, *text[: place + 1]][place + 2 :]
        asked = np.array([[*before, symbol] for symbol in range(symbols)])
        np.testing.assert_allclose(logits[0], log_probs(model, asked), rtol=1e-5)


def test_too_large_a_table_is_refused():
    model = fit(np.zeros((3, 6), int), 30)
    with pytest.raises(ValueError, match="6-grams of 30 symbols are 729000000, more than 16777216"):
        ngram_table(model)
