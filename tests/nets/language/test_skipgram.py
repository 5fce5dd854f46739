"""Skip-gram: products of rows, windows by a loop, probabilities that sum to 1."""

import jax
import numpy as np

from nets.language.huffman import huffman_tree
from nets.language.skipgram import SkipGram, band, path_log_probabilities

WORDS = np.array([[0, 3, 3], [6, 1, 0]], np.int32)
OUTPUTS = np.array([[2, 5], [4, 4]], np.int32)


def variables(rng):
    shapes = {"words": (7, 4), "outputs": (6, 4)}
    return {"params": {name: rng.normal(size=shape) for name, shape in shapes.items()}}


def test_scores_are_products_of_rows():
    found = variables(np.random.default_rng(0))
    words, outputs = found["params"]["words"], found["params"]["outputs"]
    model = SkipGram(7, 6, 4)
    scores = model.apply(found, WORDS, OUTPUTS)
    both = zip(WORDS, OUTPUTS, strict=True)
    expected = [[[words[i] @ outputs[j] for j in o] for i in w] for w, o in both]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(model.apply(found, WORDS), words[WORDS] @ outputs.T, rtol=1e-5)


def test_rows_take_the_place_of_tables():
    found = variables(np.random.default_rng(1))
    rows = {"words": np.ones((2, 3, 4)), "outputs": np.full((2, 2, 4), 0.5)}
    scores = SkipGram(7, 6, 4).apply({**found, "rows": rows}, WORDS, OUTPUTS)
    np.testing.assert_allclose(scores, np.full((2, 3, 2), 2.0))


def test_shares_are_factors_of_the_gradient_alone():
    found, rng = variables(np.random.default_rng(4)), np.random.default_rng(5)
    shares = rng.random(WORDS.shape), rng.random(OUTPUTS.shape)
    model = SkipGram(7, 6, 4)

    def total(rows, *shares):
        return model.apply({**found, "rows": rows}, WORDS, OUTPUTS, *shares).sum()

    params = found["params"]
    rows = {"words": params["words"][WORDS], "outputs": params["outputs"][OUTPUTS]}
    plain, gradient = jax.value_and_grad(total)(rows)
    value, shared = jax.value_and_grad(total)(rows, *shares)
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    for name, share in zip(("words", "outputs"), shares, strict=True):
        np.testing.assert_allclose(shared[name], gradient[name] * share[..., None], rtol=1e-5)


def test_word_vectors_begin_small_and_output_vectors_at_zero():
    params = SkipGram(50, 49, 20).init(jax.random.key(0), WORDS, OUTPUTS)["params"]
    assert params["words"].shape == (50, 20)
    assert params["outputs"].shape == (49, 20)
    assert 0.024 < np.abs(params["words"]).max() <= 0.025
    assert not params["outputs"].any()


def test_band_is_the_loop_over_words_and_their_windows():
    rng = np.random.default_rng(2)
    window, centres = 3, 5
    reach = rng.integers(0, window + 1, (4, centres))
    sentence = np.sort(rng.integers(0, 4, (4, centres + 2 * window)), axis=1)
    expected = np.zeros((4, centres + 2 * window, centres))
    for b, c in np.ndindex(reach.shape):
        place = c + window
        for i in range(place - reach[b, c], place + reach[b, c] + 1):
            if i != place and sentence[b, i] == sentence[b, place]:
                expected[b, i, c] = 1
    assert 0 < expected.sum() < (2 * reach).sum()
    np.testing.assert_array_equal(band(reach, sentence), expected)


def test_hierarchical_softmax_sums_to_one_over_the_vocabulary():
    counts = [50, 20, 20, 7, 3, 2, 1]
    tree = huffman_tree(counts)
    scores = np.random.default_rng(3).normal(size=(5, len(counts) - 1)) * 3
    logs = path_log_probabilities(scores[:, tree.nodes], tree.turns)
    assert logs.shape == (5, len(counts))
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, rtol=1e-5)
    first = tree.turns[0, 0] * scores[:, len(counts) - 2]  # the path of the first has one node
    np.testing.assert_allclose(logs[:, 0], -np.log1p(np.exp(-first)), rtol=1e-5)
