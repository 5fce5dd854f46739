"""PyTorch's adaptive softmax by its documented equations, and a language model's LSTM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.language.adaptive_softmax import AdaptiveSoftmax
from nets.language.convert import adaptive_from_torch, adaptive_to_torch
from nets.language.recurrent_lm import LanguageModel
from nets.recurrent.convert import from_torch, to_torch

RNG = np.random.default_rng(0)
V, D, CUTOFFS = 23, 16, (5, 11)
SHAPES = {
    "head.weight": (7, D),
    "head.bias": (7,),
    "tail.0.0.weight": (4, D),
    "tail.0.1.weight": (6, 4),
    "tail.1.0.weight": (1, D),
    "tail.1.1.weight": (12, 1),
}


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_an_adaptive_softmax_of_pytorch():
    state = {f"out.{n}": RNG.normal(size=shape).astype(np.float32) for n, shape in SHAPES.items()}
    params, x = adaptive_from_torch(state, "out."), RNG.normal(size=(4, D)).astype(np.float32)
    w = {name.removeprefix("out."): np.float64(a) for name, a in state.items()}
    head = log_softmax(x @ w["head.weight"].T + w["head.bias"])
    tails = [
        head[:, 5 + i, None]
        + log_softmax(x @ w[f"tail.{i}.0.weight"].T @ w[f"tail.{i}.1.weight"].T)
        for i in range(2)
    ]
    actual = AdaptiveSoftmax(V, CUTOFFS).apply({"params": params}, x)
    np.testing.assert_allclose(actual, np.concatenate([head[:, :5], *tails], axis=1), rtol=1e-4)
    back = adaptive_to_torch(params, "out.")
    assert back.keys() == state.keys()
    jax.tree.map(np.testing.assert_array_equal, back, state)
    without = {name: a for name, a in state.items() if "bias" not in name}
    assert not adaptive_from_torch(without, "out.")["bias"].any()
    with pytest.raises(ValueError, match="bias_1 is not zero, but PyTorch's clusters have no bias"):
        adaptive_to_torch(params | {"bias_1": np.ones(12)})
    with pytest.raises(ValueError, match=r"tail.1.0.weight must have shape \(1, 16\), got"):
        adaptive_from_torch(state | {"out.tail.1.0.weight": np.zeros((1, 3))}, "out.")
    with pytest.raises(ValueError, match=r"no name begins with 'in\.', got out\.head\.weight, "):
        adaptive_from_torch(state, "in.")


@pytest.mark.parametrize("layers", [1, 2])
def test_the_lstm_of_a_language_model_comes_and_goes_without_renaming(layers):
    model = LanguageModel(V, hidden=4, layers=layers, embedding=3)
    tokens = jnp.zeros((1, 2), jnp.int32)
    params = model.init(jax.random.key(0), tokens, model.initialize_carry(1))["params"]
    state = to_torch(params, "lstm", prefix="lstm.", stack="recurrent")
    assert state["lstm.weight_ih_l0"].shape == (16, 3)
    back = params | from_torch({**state, "x": 0}, "lstm", prefix="lstm.", stack="recurrent")
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


class Tensor:
    """A tensor of bfloat16, which numpy cannot read."""

    dtype = "torch.bfloat16"

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return self.array.astype(np.float32)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


def test_tensors_of_bfloat16_keep_their_dtype():
    shapes = {"weight_ih": (12, 3), "weight_hh": (12, 4), "bias_ih": (12,), "bias_hh": (12,)}
    arrays = {f"{n}_l0": RNG.normal(size=s).astype(jnp.bfloat16) for n, s in shapes.items()}
    for given in (arrays, {name: Tensor(array) for name, array in arrays.items()}):
        params = from_torch(given, "gru")
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(jnp.bfloat16)}
        back = to_torch(params, "gru")
        for name in ("weight_ih_l0", "weight_hh_l0"):
            np.testing.assert_array_equal(back[name], arrays[name])
