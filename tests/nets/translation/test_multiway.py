"""Several pairs in one network: each uses its own encoder and decoder, and no other module."""

import jax
import numpy as np
import pytest

from nets.translation.multiway import MultiSeq2Seq
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from tests.nets.recurrent.networks import assert_close, noise_like, quick_jit

B, S, T = 3, 5, 4
SYMBOLS = {"en": 11, "de": 7, "fr": 9}
PAIRS = {"en-fr": ("en", "fr"), "de-fr": ("de", "fr"), "en-de": ("en", "de")}
SIZE = {"embedding": 3, "hidden": 4}
RNG = np.random.default_rng(0)
LENGTHS = np.array([5, 2, 4], np.int32)


@pytest.fixture(scope="module")
def setting():
    """Network and random parameters."""
    encoders = {x: Encoder(SYMBOLS[x], **SIZE) for x in ("en", "de")}
    decoders = {x: Decoder(SYMBOLS[x], **SIZE) for x in ("fr", "de")}
    net = MultiSeq2Seq(encoders, decoders, PAIRS)
    return net, noise_like(shapes(net, "en-fr"), 1)


def inputs(pair):
    """Source, lengths and inputs of a batch, with ids up to the last of each language."""
    source, target = (SYMBOLS[x] for x in PAIRS[pair])
    ids = RNG.integers(1, source, size=(B, S), dtype=np.int32)
    return ids, LENGTHS, RNG.integers(1, target, size=(B, T), dtype=np.int32)


def shapes(net, pair):
    return jax.eval_shape(lambda: net.init(jax.random.key(0), pair, *inputs(pair)))


def test_all_modules_get_parameters_whatever_the_pair(setting):
    net, variables = setting
    for pair in PAIRS:
        result = shapes(net, pair)
        assert jax.tree.map(np.shape, result) == jax.tree.map(np.shape, variables)
    names = {"encoders_en", "encoders_de", "decoders_fr", "decoders_de"}
    assert set(variables["params"]) == names
    rows = {x: variables["params"][x]["table"]["embedding"].shape[0] for x in names}
    assert rows == {x: SYMBOLS[x[-2:]] for x in names}


@pytest.mark.parametrize("pair", ["de-fr", "en-de"])
def test_a_pair_is_the_network_of_its_encoder_and_its_decoder(setting, pair):
    net, variables = setting
    reader, writer = (SYMBOLS[x] for x in PAIRS[pair])
    alone = Seq2Seq(Encoder(reader, **SIZE), Decoder(writer, **SIZE))
    source, lengths, before = inputs(pair)

    def both(variables):
        params = variables["params"]
        own = {
            "encoder": params[f"encoders_{PAIRS[pair][0]}"],
            "decoder": params[f"decoders_{PAIRS[pair][1]}"],
        }
        results = []
        for model, own_variables, name in ((net, variables, [pair]), (alone, {"params": own}, [])):
            carry, memory = model.apply(own_variables, *name, source, lengths, method="start")
            step = model.apply(own_variables, *name, before[:, 0], carry, memory, method="step")
            results.append(
                (model.apply(own_variables, *name, source, lengths, before), carry, step)
            )
        results.append(alone.apply(net.variables_of(variables, pair), source, lengths, before))
        return results

    together, expected, selected = quick_jit(both)(variables)
    assert together[0].shape == (B, T, writer)
    assert_close(together, expected)
    assert_close(selected, expected[0])


def test_gradient_of_a_pair_is_zero_for_modules_of_other_pairs(setting):
    net, variables = setting
    source, lengths, before = inputs("de-fr")

    def loss(variables):
        logits = net.apply(variables, "de-fr", source, lengths, before)
        return -jax.nn.log_softmax(logits)[..., 1].sum()

    gradient = quick_jit(jax.grad(loss))(variables)["params"]
    nonzero = {
        name: [bool(np.any(leaf)) for leaf in jax.tree.leaves(module)]
        for name, module in gradient.items()
    }
    assert all(nonzero["encoders_de"] + nonzero["decoders_fr"])
    assert not any(nonzero["encoders_en"] + nonzero["decoders_de"])


def test_an_unknown_pair_is_refused_with_a_list_of_pairs(setting):
    net, variables = setting
    for use in (
        lambda: net.apply(variables, "fr-en", *inputs("en-fr")),
        lambda: net.variables_of(variables, "fr-en"),
    ):
        with pytest.raises(
            ValueError, match="unknown pair 'fr-en'; the pairs are en-fr, de-fr, en-de"
        ):
            use()
