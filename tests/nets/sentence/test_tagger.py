"""Tagger: parameter counts, character encoders against loops, invariance to padding, dropout."""

import jax
import numpy as np
import pytest

from nets.recurrent.stack import DeepRecurrent
from nets.sentence.char_encoder import CharEncoder
from nets.sentence.encoder import UNKNOWN, SentenceEncoder
from nets.sentence.linear_crf import log_prob
from nets.sentence.tagger import Tagger
from tests.nets.recurrent.networks import assert_close, noise_like, quick_jit

B, T, L = 3, 4, 5
WORDS, CHARACTERS, TAGS = 9, 7, 3
LENGTHS = np.array([4, 2, 0], np.int32)
VALID = np.arange(T) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
WORD_IDS = np.where(VALID, RNG.integers(2, WORDS, (B, T)), 0).astype(np.int32)
WORD_LENGTHS = np.where(VALID, RNG.integers(1, L + 1, (B, T)), 0)
CHAR_IDS = RNG.integers(1, CHARACTERS, (B, T, L)) * (np.arange(L) < WORD_LENGTHS[..., None])
CHAR_IDS = CHAR_IDS.astype(np.int32)
GOLD = RNG.integers(0, TAGS, (B, T))


def tagger(kind="convolution", output="crf", *, word_dropout=0.0, **core):
    char_encoder = CharEncoder(CHARACTERS, 2, 4, kind) if kind else None
    core = DeepRecurrent(**{"hidden": 3, **core})
    return Tagger(SentenceEncoder(core, WORDS, 2, char_encoder, word_dropout), TAGS, output)


def variables_of(net, characters=CHAR_IDS):
    """Random parameters, including biases and the embedding of the padding id."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), WORD_IDS, characters, LENGTHS)
    return noise_like(shapes, 1)


def count(net, characters=CHAR_IDS):
    return sum(leaf.size for leaf in jax.tree.leaves(variables_of(net, characters)))


def test_number_of_parameters():
    char_encoder = CHARACTERS * 2 + 3 * 2 * 4 + 4
    first, second = (4 * 3 * (size + 3 + 1) for size in (2 + 4, 2 * 3))
    output = (2 * 3 + 1) * TAGS + TAGS**2 + 2 * TAGS
    expected = WORDS * 2 + char_encoder + 2 * first + 2 * second + output
    assert count(tagger(layers=2)) == expected
    forward = WORDS * 2 + 3 * (2 + 3 + 1) + (3 + 1) * TAGS
    assert count(tagger("", "softmax", cell="relu", directions="forward"), None) == forward


def test_convolutional_character_encoder_matches_a_loop():
    net = CharEncoder(CHARACTERS, 2, 4)
    variables = noise_like(jax.eval_shape(net.init, jax.random.key(0), CHAR_IDS), 2)
    vectors = quick_jit(net.apply)(variables, CHAR_IDS)
    params = variables["params"]
    table, kernel = params["embed"]["embedding"], params["kernel"]
    for b, t in np.ndindex(B, T):
        word = [table[c] for c in CHAR_IDS[b, t] if c]
        padded = [np.zeros(2), *word, np.zeros(2)]
        sums = [
            sum(padded[i + j] @ kernel[j] for j in range(3)) + params["bias"]
            for i in range(len(word))
        ]
        expected = np.maximum(sums, 0).max(axis=0) if word else np.zeros(4)
        np.testing.assert_allclose(vectors[b, t], expected, rtol=1e-5, atol=1e-6)


def test_recurrent_character_encoder_reads_both_directions_and_no_padding():
    net = CharEncoder(CHARACTERS, 2, 4, "recurrent")
    variables = noise_like(jax.eval_shape(net.init, jax.random.key(0), CHAR_IDS), 2)
    swapped = {name: dict(layer) for name, layer in variables["params"].items()}
    layers = swapped["layer"]["stack"]["layers_0"]
    swapped["layer"] = {
        "stack": {
            "layers_0": {"forward": layers["backward"], "backward": layers["forward"]},
        }
    }
    reversed_words = CHAR_IDS.copy()
    for b, t in np.ndindex(B, T):
        n = WORD_LENGTHS[b, t]
        reversed_words[b, t, :n] = CHAR_IDS[b, t, :n][::-1]
    run = quick_jit(net.apply)
    runs = run(variables, CHAR_IDS), run({"params": swapped}, reversed_words)
    vectors, mirrored = jax.device_get(runs)
    assert_close(vectors, np.concatenate([mirrored[..., 2:], mirrored[..., :2]], axis=-1))
    assert np.ptp(vectors[VALID], axis=0).min() > 0.01
    assert not vectors[~VALID].any()


@pytest.mark.parametrize(("kind", "output"), [("convolution", "crf"), ("recurrent", "softmax")])
def test_padding_has_no_effect_and_all_parameters_have_gradients(kind, output):
    net = tagger(kind, output, cell="rnn")
    variables = variables_of(net)

    @quick_jit
    def run(words, characters):
        def loss(variables):
            chain = net.apply(variables, words, characters, LENGTHS)
            return log_prob(chain, GOLD, LENGTHS).sum(), chain.emissions

        return jax.value_and_grad(loss, has_aux=True)(variables)

    (plain, emissions), gradient = jax.device_get(run(WORD_IDS, CHAR_IDS))
    filled = np.where(VALID, WORD_IDS, 5), np.where(VALID[..., None], CHAR_IDS, 3)
    (padded, padded_emissions), padded_gradient = jax.device_get(run(*filled))
    assert plain == padded
    np.testing.assert_array_equal(emissions[VALID], padded_emissions[VALID])
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(gradient), jax.tree.leaves(padded_gradient), strict=True
    ):
        np.testing.assert_array_equal(leaf, other, err_msg=jax.tree_util.keystr(path))
        assert np.isfinite(leaf).all()
        assert leaf.any(), jax.tree_util.keystr(path)


def test_later_words_affect_backward_states_only():
    later = WORD_IDS.copy()
    later[0, 3] = (later[0, 3] - 1) % (WORDS - 2) + 2
    assert later[0, 3] != WORD_IDS[0, 3]
    for directions, unaffected in (("forward", True), ("both", False)):
        net = tagger("", "softmax", cell="relu", directions=directions)
        run = quick_jit(net.apply)
        variables = variables_of(net, None)
        a, b = (run(variables, words, None, LENGTHS).emissions for words in (WORD_IDS, later))
        assert np.array_equal(a[0, :3], b[0, :3]) == unaffected
        assert not np.array_equal(a[0, 3], b[0, 3])


def test_dropped_words_become_unknown_and_keep_their_characters():
    net = tagger("convolution", word_dropout=0.4)
    variables = variables_of(net)

    def vectors(net, train):
        return net.encoder.vectors(WORD_IDS, CHAR_IDS, train=train)

    def run(key):
        return net.apply(variables, True, method=vectors, rngs={"dropout": key})

    plain = np.asarray(quick_jit(lambda: net.apply(variables, False, method=vectors))())
    dropped = np.asarray(quick_jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 40)))
    np.testing.assert_allclose(dropped[..., 2:], np.tile(plain[..., 2:], (40, 1, 1, 1)), rtol=1e-5)
    changed = (dropped[..., :2] != plain[..., :2]).all(axis=-1)
    table = variables["params"]["encoder"]["embed"]["embedding"]
    assert (dropped[changed][:, :2] == table[UNKNOWN]).all()
    assert 0.34 < changed.mean() < 0.46


def test_variational_dropout_has_one_mask_for_each_row():
    x = np.ones((2, 6, 8), np.float32)
    for variational in (True, False):
        core = DeepRecurrent(8, cell="rnn", dropout=0.5, variational=variational)
        variables = noise_like(jax.eval_shape(core.init, jax.random.key(0), x), 3)
        outputs = quick_jit(
            lambda v, core=core: core.apply(v, x, train=True, rngs={"dropout": jax.random.key(1)})
        )(variables)[1]
        dropped = np.asarray(outputs) == 0
        assert 0.2 < dropped.mean() < 0.8
        assert (dropped == dropped[:, :1]).all() == variational


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (tagger(output="hmm"), "output must be one of crf, softmax, got 'hmm'"),
        (tagger("letters"), "kind must be one of convolution, recurrent, got 'letters'"),
        (tagger(cell="elman"), "min_gru, min_lstm, got 'elman'"),
        (tagger(directions="back"), "must be one of both, forward, backward, got 'back'"),
        (tagger(""), "if and only if there is a character encoder: got characters"),
    ],
)
def test_unknown_options_are_rejected(net, message):
    with pytest.raises(ValueError, match=message):
        variables_of(net)


def test_mismatched_characters_are_rejected():
    with pytest.raises(
        ValueError, match=r"must have shape \[3, 4, 'characters'\], got \[3, 3, 5\]"
    ):
        variables_of(tagger(), CHAR_IDS[:, :3])
    char_encoder = CharEncoder(5, 2, 3, "recurrent")
    odd = Tagger(SentenceEncoder(DeepRecurrent(3), WORDS, 2, char_encoder), 2)
    with pytest.raises(ValueError, match="needs even features, got 3"):
        variables_of(odd)


def test_names_of_parameters_are_those_of_earlier_checkpoints():
    encoder = SentenceEncoder(DeepRecurrent(3), WORDS, 2, CharEncoder(CHARACTERS))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), WORD_IDS, CHAR_IDS, LENGTHS)
    assert set(variables["params"]) == {"core", "embed", "spelling"}
