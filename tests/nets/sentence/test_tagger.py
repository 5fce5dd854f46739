"""Tagger: counted parameters, spellings against a loop, padding that changes nothing, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.recurrent.stack import DeepRecurrent
from nets.sentence.char_encoder import Spelling
from nets.sentence.encoder import UNKNOWN, SentenceEncoder
from nets.sentence.linear_crf import log_prob
from nets.sentence.tagger import Tagger
from tests.nets.recurrent.networks import assert_close, noise_like, quick_jit

B, T, L = 3, 4, 5
WORDS, CHARACTERS, TAGS = 9, 7, 3
LENGTHS = np.array([4, 2, 0], np.int32)
REAL = np.arange(T) < LENGTHS[:, None]
RNG = np.random.default_rng(0)
WORD_IDS = np.where(REAL, RNG.integers(2, WORDS, (B, T)), 0).astype(np.int32)
LETTERS = np.where(REAL, RNG.integers(1, L + 1, (B, T)), 0)
SPELLED = RNG.integers(1, CHARACTERS, (B, T, L)) * (np.arange(L) < LETTERS[..., None])
SPELLED = SPELLED.astype(np.int32)
GOLD = RNG.integers(0, TAGS, (B, T))


def tagger(kind="convolution", output="crf", *, word_dropout=0.0, **core):
    spelling = Spelling(CHARACTERS, 2, 4, kind) if kind else None
    core = DeepRecurrent(**{"hidden": 3, **core})
    return Tagger(SentenceEncoder(core, WORDS, 2, spelling, word_dropout), TAGS, output)


def variables_of(net, spelled=SPELLED):
    """Random parameters, biases and what belongs to the padding's id included."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), WORD_IDS, spelled, LENGTHS)
    return noise_like(shapes, 1)


def count(net, spelled=SPELLED):
    return sum(leaf.size for leaf in jax.tree.leaves(variables_of(net, spelled)))


def test_parameters_are_those_of_the_equations():
    letters = CHARACTERS * 2 + 3 * 2 * 4 + 4
    first, second = (4 * 3 * (size + 3 + 1) for size in (2 + 4, 2 * 3))
    own = (2 * 3 + 1) * TAGS + TAGS**2 + 2 * TAGS
    wanted = WORDS * 2 + letters + 2 * first + 2 * second + own
    assert count(tagger(layers=2)) == wanted
    ahead = WORDS * 2 + 3 * (2 + 3 + 1) + (3 + 1) * TAGS
    assert count(tagger("", "softmax", cell="relu", directions="forward"), None) == ahead


def test_convolved_spelling_is_the_loop():
    net = Spelling(CHARACTERS, 2, 4)
    own = noise_like(jax.eval_shape(net.init, jax.random.key(0), SPELLED), 2)
    found = quick_jit(net.apply)(own, SPELLED)
    params = own["params"]
    table, kernel = params["embed"]["embedding"], params["kernel"]
    for b, t in np.ndindex(B, T):
        word = [table[c] for c in SPELLED[b, t] if c]
        beside = [np.zeros(2), *word, np.zeros(2)]
        sums = [
            sum(beside[i + j] @ kernel[j] for j in range(3)) + params["bias"]
            for i in range(len(word))
        ]
        wanted = np.maximum(sums, 0).max(axis=0) if word else np.zeros(4)
        np.testing.assert_allclose(found[b, t], wanted, rtol=1e-5, atol=1e-6)


def test_recurrent_spelling_reads_both_ways_and_no_padding():
    net = Spelling(CHARACTERS, 2, 4, "recurrent")
    own = noise_like(jax.eval_shape(net.init, jax.random.key(0), SPELLED), 2)
    turned = {name: dict(layer) for name, layer in own["params"].items()}
    layers = turned["layer"]["stack"]["layers_0"]
    turned["layer"] = {
        "stack": {
            "layers_0": {"forward": layers["backward"], "backward": layers["forward"]},
        }
    }
    reversed_words = SPELLED.copy()
    for b, t in np.ndindex(B, T):
        n = LETTERS[b, t]
        reversed_words[b, t, :n] = SPELLED[b, t, :n][::-1]
    run = quick_jit(net.apply)
    found, other = run(own, SPELLED), run({"params": turned}, reversed_words)
    assert_close(found, jnp.concatenate([other[..., 2:], other[..., :2]], axis=-1))
    assert np.ptp(found[REAL], axis=0).min() > 0.01
    assert not found[~REAL].any()


@pytest.mark.parametrize(("kind", "output"), [("convolution", "crf"), ("recurrent", "softmax")])
def test_padding_changes_nothing_and_all_parameters_are_learnt(kind, output):
    net = tagger(kind, output, cell="rnn")
    variables = variables_of(net)

    @quick_jit
    def run(words, spelled):
        def loss(variables):
            chain = net.apply(variables, words, spelled, LENGTHS)
            return log_prob(chain, GOLD, LENGTHS).sum(), chain.emissions

        return jax.value_and_grad(loss, has_aux=True)(variables)

    (plain, emissions), gradient = run(WORD_IDS, SPELLED)
    full = np.where(REAL, WORD_IDS, 5), np.where(REAL[..., None], SPELLED, 3)
    (padded, others), same = run(*full)
    assert plain == padded
    np.testing.assert_array_equal(emissions[REAL], others[REAL])
    for (path, leaf), again in zip(
        jax.tree_util.tree_leaves_with_path(gradient), jax.tree.leaves(same), strict=True
    ):
        np.testing.assert_array_equal(leaf, again, err_msg=jax.tree_util.keystr(path))
        assert np.isfinite(leaf).all()
        assert leaf.any(), jax.tree_util.keystr(path)


def test_forward_states_do_not_see_what_follows_and_both_do():
    later = WORD_IDS.copy()
    later[0, 3] = (later[0, 3] - 1) % (WORDS - 2) + 2
    assert later[0, 3] != WORD_IDS[0, 3]
    for directions, blind in (("forward", True), ("both", False)):
        net = tagger("", "softmax", cell="relu", directions=directions)
        run = quick_jit(net.apply)
        variables = variables_of(net, None)
        a, b = (run(variables, words, None, LENGTHS).emissions for words in (WORD_IDS, later))
        assert np.array_equal(a[0, :3], b[0, :3]) == blind
        assert not np.array_equal(a[0, 3], b[0, 3])


def test_dropped_words_are_read_as_unknown_and_keep_their_spelling():
    net = tagger("convolution", word_dropout=0.4)
    variables = variables_of(net)

    def vectors(net, train):
        return net.encoder.vectors(WORD_IDS, SPELLED, train=train)

    def run(key):
        return net.apply(variables, True, method=vectors, rngs={"dropout": key})

    kept = net.apply(variables, False, method=vectors)
    dropped = quick_jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 40))
    np.testing.assert_allclose(dropped[..., 2:], np.tile(kept[..., 2:], (40, 1, 1, 1)), rtol=1e-5)
    changed = (dropped[..., :2] != kept[..., :2]).all(axis=-1)
    table = variables["params"]["encoder"]["embed"]["embedding"]
    assert (dropped[changed][:, :2] == table[UNKNOWN]).all()
    assert 0.34 < changed.mean() < 0.46


def test_variational_dropout_has_one_mask_for_a_row():
    x = np.ones((2, 6, 8), np.float32)
    for variational in (True, False):
        core = DeepRecurrent(8, cell="rnn", dropout=0.5, variational=variational)
        variables = noise_like(jax.eval_shape(core.init, jax.random.key(0), x), 3)
        found = quick_jit(
            lambda v, core=core: core.apply(v, x, train=True, rngs={"dropout": jax.random.key(1)})
        )(variables)[1]
        gone = found == 0
        assert 0.2 < gone.mean() < 0.8
        assert (gone == gone[:, :1]).all() == variational


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (tagger(output="hmm"), "output must be one of crf, softmax, got 'hmm'"),
        (tagger("letters"), "kind must be one of convolution, recurrent, got 'letters'"),
        (tagger(cell="elman"), "cell must be one of rnn, gru, lstm, relu, got 'elman'"),
        (tagger(directions="back"), "must be one of both, forward, backward, got 'back'"),
        (tagger(""), "spellings are needed where characters are read, and only there: got some"),
    ],
)
def test_what_there_is_not_is_refused(net, message):
    with pytest.raises(ValueError, match=message):
        variables_of(net)


def test_spellings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must be \[3, 4, 'characters'\], got \[3, 3, 5\]"):
        variables_of(tagger(), SPELLED[:, :3])
    odd = Tagger(SentenceEncoder(DeepRecurrent(3), WORDS, 2, Spelling(5, 2, 3, "recurrent")), 2)
    with pytest.raises(ValueError, match="needs even features, got 3"):
        variables_of(odd)
