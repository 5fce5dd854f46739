"""Every cell that has a name: its width, and the networks that choose it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.language.recurrent_lm import LanguageModel
from nets.recurrent.cells import LSTMCell
from nets.recurrent.linear_cells import MinGRUCell, MinLSTMCell
from nets.recurrent.stack import DeepRecurrent
from nets.recurrent.variants import ALL_CELLS
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq


def test_names_are_the_variants_of_the_cells():
    expected = {
        "lstm_peephole": {"peephole": "diagonal"},
        "lstm_full_peephole": {"peephole": "full"},
        "lstm_layer_norm": {"layer_norm": True},
        "lstm_coupled": {"coupled": True},
        "lstm_projection": {"projection": 5, "features": 10},
    }
    for name, fields in expected.items():
        cell = ALL_CELLS[name](5)
        assert type(cell) is LSTMCell
        assert {field: getattr(cell, field) for field in fields} == fields
    assert type(ALL_CELLS["min_gru"](5)) is MinGRUCell
    assert type(ALL_CELLS["min_lstm"](5)) is MinLSTMCell
    assert ALL_CELLS["gru_reset_after"](5).reset_after
    x = jnp.array([-2.0, 3.0])
    np.testing.assert_array_equal(ALL_CELLS["relu"](5).activation(x), [0, 3])
    np.testing.assert_array_equal(ALL_CELLS["lstm_linear_output"](5).output_activation(x), x)
    assert len(ALL_CELLS) == 13


@pytest.mark.parametrize("name", ALL_CELLS)
def test_networks_take_every_cell(name):
    tokens, lengths = jnp.ones((2, 4), jnp.int32), jnp.array([4, 2])
    model = LanguageModel(vocabulary=7, cell=name, hidden=6, layers=2, embedding=6, tied=True)
    carry = model.initialize_carry(2)
    (logits, carry), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), tokens, carry)
    assert logits.shape == (2, 4, 7)
    deep = DeepRecurrent(6, cell=name)
    x = jnp.ones((2, 4, 3))
    (_, outputs), _ = jax.eval_shape(deep.init_with_output, jax.random.key(0), x, lengths)
    assert outputs.shape == (2, 4, 12)
    pair = Seq2Seq(Encoder(7, 5, 6, cell=name), Decoder(8, 5, 6, cell=name))
    inputs = (tokens, lengths, tokens)
    logits, _ = jax.eval_shape(pair.init_with_output, jax.random.key(0), *inputs)
    assert logits.shape == (2, 4, 8)
