"""Several pairs in one network: each is its own encoder and decoder, and touches no other part."""

import jax
import numpy as np
import pytest

from nets.translation.multiway import MultiSeq2Seq
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from tests.nets.recurrent.networks import assert_close, noise_like, quick_jit

B, S, T = 3, 5, 4
SYMBOLS = {"en": 11, "de": 7, "fr": 9}
PARTS = {"en-fr": ("en", "fr"), "de-fr": ("de", "fr"), "en-de": ("en", "de")}
SIZE = {"embedding": 3, "hidden": 4}
RNG = np.random.default_rng(0)
LENGTHS = np.array([5, 2, 4], np.int32)


@pytest.fixture(scope="module")
def setting():
    """Network and random parameters."""
    encoders = {x: Encoder(SYMBOLS[x], **SIZE) for x in ("en", "de")}
    decoders = {x: Decoder(SYMBOLS[x], **SIZE) for x in ("fr", "de")}
    net = MultiSeq2Seq(encoders, decoders, PARTS)
    return net, noise_like(shapes(net, "en-fr"), 1)


def inputs(pair):
    """Source, lengths and inputs of a batch, up to the last id of each language."""
    source, target = (SYMBOLS[x] for x in PARTS[pair])
    read = RNG.integers(1, source, size=(B, S), dtype=np.int32)
    return read, LENGTHS, RNG.integers(1, target, size=(B, T), dtype=np.int32)


def shapes(net, pair):
    return jax.eval_shape(lambda: net.init(jax.random.key(0), pair, *inputs(pair)))


def test_every_part_gets_parameters_whatever_the_pair(setting):
    net, variables = setting
    for pair in PARTS:
        found = shapes(net, pair)
        assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, variables)
    names = {"encoders_en", "encoders_de", "decoders_fr", "decoders_de"}
    assert set(variables["params"]) == names
    rows = {x: variables["params"][x]["table"]["embedding"].shape[0] for x in names}
    assert rows == {x: SYMBOLS[x[-2:]] for x in names}


@pytest.mark.parametrize("pair", ["de-fr", "en-de"])
def test_a_pair_is_the_network_of_its_encoder_and_its_decoder(setting, pair):
    net, variables = setting
    reader, writer = (SYMBOLS[x] for x in PARTS[pair])
    alone = Seq2Seq(Encoder(reader, **SIZE), Decoder(writer, **SIZE))
    source, lengths, before = inputs(pair)

    def both(variables):
        params = variables["params"]
        own = {
            "encoder": params[f"encoders_{PARTS[pair][0]}"],
            "decoder": params[f"decoders_{PARTS[pair][1]}"],
        }
        found = []
        for model, part, name in ((net, variables, [pair]), (alone, {"params": own}, [])):
            carry, memory = model.apply(part, *name, source, lengths, method="start")
            step = model.apply(part, *name, before[:, 0], carry, memory, method="step")
            found.append((model.apply(part, *name, source, lengths, before), carry, step))
        found.append(alone.apply(net.variables_of(variables, pair), source, lengths, before))
        return found

    together, expected, selected = quick_jit(both)(variables)
    assert together[0].shape == (B, T, writer)
    assert_close(together, expected)
    assert_close(selected, expected[0])


def test_gradient_of_a_pair_leaves_the_parts_of_other_pairs_alone(setting):
    net, variables = setting
    source, lengths, before = inputs("de-fr")

    def loss(variables):
        logits = net.apply(variables, "de-fr", source, lengths, before)
        return -jax.nn.log_softmax(logits)[..., 1].sum()

    gradient = quick_jit(jax.grad(loss))(variables)["params"]
    touched = {
        name: [bool(np.any(leaf)) for leaf in jax.tree.leaves(part)]
        for name, part in gradient.items()
    }
    assert all(touched["encoders_de"] + touched["decoders_fr"])
    assert not any(touched["encoders_en"] + touched["decoders_de"])


def test_a_pair_that_is_not_there_is_named_with_those_that_are(setting):
    net, variables = setting
    for use in (
        lambda: net.apply(variables, "fr-en", *inputs("en-fr")),
        lambda: net.variables_of(variables, "fr-en"),
    ):
        with pytest.raises(ValueError, match="no pair 'fr-en'; there are en-fr, de-fr, en-de"):
            use()
