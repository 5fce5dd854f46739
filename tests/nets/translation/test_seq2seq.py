"""Encoder and decoder: a whole target at once agrees with single steps; gradients."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from tests.nets.recurrent.networks import PRECISIONS, assert_close, noise_like, quick_jit

B, S, T, V, W = 3, 5, 4, 7, 6
RNG = np.random.default_rng(0)
SOURCE = RNG.integers(1, V, size=(B, S), dtype=np.int32)
LENGTHS = np.array([5, 2, 4], np.int32)
INPUTS = RNG.integers(1, W, size=(B, T), dtype=np.int32)
SIZE = {"embedding": 3, "hidden": 4}

NETWORKS = {
    "plain": ({"bidirectional": False}, {"attention": "none", "bridge": "copy"}),
    "plain_lstm": ({"bidirectional": False, "cell": "lstm"}, {"attention": "none", "cell": "lstm"}),
    "additive": ({}, {"attention": "additive"}),
    "general_lstm_deep": ({"cell": "lstm", "layers": 2}, {"cell": "lstm", "layers": 2}),
    "dot_zeros": ({"bidirectional": False}, {"attention": "dot", "bridge": "zeros"}),
    "fed": ({}, {"input_feeding": True, "tied": True}),
    "fed_monotonic": ({}, {"input_feeding": True, "window": 1, "centre": "monotonic"}),
    "monotonic": ({"cell": "rnn"}, {"cell": "rnn", "window": 1, "centre": "monotonic"}),
}


@cache
def make(name, **both):
    """Network with random parameters."""
    encoder, decoder = NETWORKS[name]
    net = Seq2Seq(Encoder(V, **SIZE, **encoder, **both), Decoder(W, **SIZE, **decoder, **both))
    shapes = jax.eval_shape(net.init, jax.random.key(0), SOURCE, LENGTHS, INPUTS)
    return net, noise_like(shapes, 1)


@cache
def applied(name):
    """The whole network, compiled once for all tests."""
    return quick_jit(make(name)[0].apply)


def stepwise(net, variables, source, lengths, inputs):
    """Logits [B, T, W], step by step."""
    carry, memory = net.apply(variables, source, lengths, method="start")
    steps = []
    for t in range(inputs.shape[1]):
        logits, carry, *_ = net.apply(variables, inputs[:, t], carry, memory, method="step")
        steps.append(logits)
    return jnp.stack(steps, axis=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_target_at_once_agrees_with_single_steps(name):
    net, variables = make(name)
    whole = applied(name)(variables, SOURCE, LENGTHS, INPUTS)
    assert whole.shape == (B, T, W)
    assert whole.dtype == jnp.float32
    steps = quick_jit(partial(stepwise, net))(variables, SOURCE, LENGTHS, INPUTS)
    assert_close(whole, steps)


@pytest.mark.parametrize("name", ["plain", "additive", "fed", "monotonic"])
def test_neither_padding_nor_the_other_rows_matter(name):
    _, variables = make(name)
    run = applied(name)
    whole = run(variables, SOURCE, LENGTHS, INPUTS)
    padded = np.where(np.arange(S + 2) < LENGTHS[:, None], np.pad(SOURCE, ((0, 0), (0, 2))), 0)
    assert_close(run(variables, padded, LENGTHS, INPUTS), whole)
    for b in range(B):
        row, size = slice(b, b + 1), LENGTHS[b] if b == 1 else S  # each size is compiled
        alone = run(variables, SOURCE[row, :size], LENGTHS[row], INPUTS[row])
        assert_close(alone, whole[row])


@pytest.mark.parametrize("name", ["plain_lstm", "additive", "fed"])
def test_hypotheses_of_a_row_share_its_memory(name):
    """N = 2 B decoder rows on B memory rows give the same as a memory with every row twice."""
    net, variables = make(name)
    start, step = (quick_jit(partial(net.apply, method=name)) for name in ("start", "step"))
    carry, memory = start(variables, SOURCE, LENGTHS)
    tokens = RNG.integers(1, W, size=2 * B, dtype=np.int32)
    twice = jax.tree.map(lambda a: np.repeat(a, 2, axis=0), (carry, memory))
    assert_close(step(variables, tokens, twice[0], memory), step(variables, tokens, *twice))


def test_attention_weights_of_a_step_sum_to_one_over_the_source():
    net, variables = make("additive")

    def first(variables):
        carry, memory = net.apply(variables, SOURCE, LENGTHS, method="start")
        return net.apply(variables, INPUTS[:, 0], carry, memory, method="step")[2]

    weights = np.asarray(quick_jit(first)(variables))
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(B), rtol=1e-6)
    assert not np.any(weights[np.arange(S) >= LENGTHS[:, None]])


def test_backwards_reads_the_reversed_source():
    encoder = Encoder(V, **SIZE, bidirectional=False)
    reverse = Encoder(V, **SIZE, bidirectional=False, backwards=True)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), SOURCE, LENGTHS)
    variables = noise_like(shapes, 2)
    flipped = SOURCE.copy()
    for row, length in zip(flipped, LENGTHS, strict=True):
        row[:length] = row[:length][::-1]
    forward = quick_jit(encoder.apply)(variables, flipped, LENGTHS)
    backward = quick_jit(reverse.apply)(variables, SOURCE, LENGTHS)
    assert_close(forward.carries, backward.carries)
    for a, b, length in zip(forward.outputs, backward.outputs, LENGTHS, strict=True):
        assert_close(a[:length], b[:length][::-1])


@pytest.mark.parametrize("name", ["general_lstm_deep", "fed"])
def test_gradient_of_the_whole_is_the_numerical_one(name):
    """d loss / d parameters along random directions, by central differences in x64."""
    with PRECISIONS["float64"]():
        net, variables = make(name, dtype=jnp.float64)
        variables = jax.tree.map(lambda a: a / 2, variables)

        def loss(variables):
            logits = net.apply(variables, SOURCE, LENGTHS, INPUTS).astype(jnp.float64)
            return -nn.log_softmax(logits)[:, :, 1].sum()

        run = quick_jit(jax.value_and_grad(loss))
        _, gradient = run(variables)
        for seed in range(3):
            direction = noise_like(variables, seed)

            def at(size, direction=direction):
                return run(jax.tree.map(lambda a, b: a + size * b, variables, direction))[0]

            # extrapolation removes the second-order error of central differences
            wide, narrow = ((at(size) - at(-size)) / (2 * size) for size in (1e-2, 5e-3))
            pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
            assert_close(sum(np.vdot(g, d) for g, d in pairs), (4 * narrow - wide) / 3, 1e-4)


def certain(variables, symbol):
    """Variables with an output bias that always draws one symbol."""
    bias = np.where(np.arange(W) == symbol, 1e4, 0.0).astype(np.float32)
    params = variables["params"]
    decoder = {**params["decoder"], "output": {**params["decoder"]["output"], "bias": bias}}
    return {"params": {**params, "decoder": decoder}}


def test_scheduled_sampling_reads_symbols_sampled_from_the_model():
    @cache
    def compiled(rate):
        encoder, decoder = NETWORKS["additive"]
        parts = Encoder(V, **SIZE, **encoder), Decoder(W, **SIZE, **decoder, sampling=rate)
        rngs = {"dropout": jax.random.key(0)}
        return quick_jit(partial(Seq2Seq(*parts).apply, train=True, rngs=rngs))

    def run(rate, inputs):
        return np.asarray(compiled(rate)(variables, SOURCE, LENGTHS, inputs))

    variables = certain(make("additive")[1], 3)
    own = np.concatenate([INPUTS[:, :1], np.full((B, T - 1), 3, np.int32)], axis=1)
    assert_close(run(1.0, INPUTS), run(0.0, own))
    # each row matches one choice between the target and the model at every step
    half = run(0.5, INPUTS)
    choices = np.array(list(itertools.product([False, True], repeat=T - 1)))
    possible = [
        run(0.0, np.where(np.pad(chosen, (1, 0)), own, INPUTS).astype(np.int32))
        for chosen in choices
    ]
    distance = np.abs(np.array(possible) - half).max(axis=(2, 3)).min(axis=0)
    assert (distance < 1e-3).all()
    assert np.abs(half - run(0.0, INPUTS)).max() > 1e-3


def test_dropout_is_off_unless_training():
    net, variables = make("additive", dropout=0.5)
    runs = quick_jit(net.apply), applied("additive")
    run = [apply(variables, SOURCE, LENGTHS, INPUTS) for apply in runs]
    assert_close(*run)
    training = partial(net.apply, train=True, rngs={"dropout": jax.random.key(0)})
    noisy = quick_jit(training)(variables, SOURCE, LENGTHS, INPUTS)
    assert np.abs(noisy - run[0]).max() > 0.01


def test_word_dropout_drops_whole_symbols():
    net, variables = make("additive", word_dropout=0.5)
    rngs = {"dropout": jax.random.key(0)}

    def is_word_dropout(module, _):
        return module.name == "drop_words"

    run = partial(net.apply, train=True, rngs=rngs, capture_intermediates=is_word_dropout)
    _, state = quick_jit(run)(variables, SOURCE, LENGTHS, INPUTS)
    for side, ids in (("encoder", SOURCE), ("decoder", INPUTS)):
        (dropped,) = state["intermediates"][side]["drop_words"]["__call__"]
        table = variables["params"][side]["table"]["embedding"]
        zero = np.all(np.asarray(dropped) == 0, axis=-1)
        assert 0 < zero.mean() < 1
        assert_close(dropped, np.where(zero[..., None], 0, 2 * table[ids]))


def test_embeddings_are_shared_when_given():
    class Shared(nn.Module):
        """One embedding for encoder and decoder."""

        def setup(self):
            self.table = nn.Embed(V, 3)
            self.encoder = Encoder(V, **SIZE, embed=self.table)
            self.decoder = Decoder(V, **SIZE, embed=self.table, tied=True)

        def __call__(self, source, lengths, inputs):
            return self.decoder(inputs, *self.decoder.start(self.encoder(source, lengths)))

    variables = jax.eval_shape(Shared().init, jax.random.key(0), SOURCE, LENGTHS, INPUTS)
    tables = [
        path
        for path, _ in jax.tree_util.tree_leaves_with_path(variables)
        if "embedding" in jax.tree_util.keystr(path)
    ]
    assert len(tables) == 1


@pytest.mark.parametrize(
    ("encoder", "decoder", "words"),
    [
        ({}, {"bridge": "plane"}, ["dense, copy, zeros", "plane"]),
        ({}, {"attention": "none", "input_feeding": True}, ["input feeding needs attention"]),
        ({"layers": 2}, {}, ["1, got 2"]),
        ({"bidirectional": False, "hidden": 5}, {"bridge": "copy"}, ["(3, 4)", "(3, 5)"]),
        ({}, {"attention": "cosine"}, ["additive, dot, general", "cosine"]),
    ],
)
def test_wrong_arguments_are_refused(encoder, decoder, words):
    net = Seq2Seq(Encoder(V, **{**SIZE, **encoder}), Decoder(W, **{**SIZE, **decoder}))
    with pytest.raises(ValueError, match=r".") as caught:
        jax.eval_shape(net.init, jax.random.key(0), SOURCE, LENGTHS, INPUTS)
    assert all(word in str(caught.value) for word in words), caught.value
