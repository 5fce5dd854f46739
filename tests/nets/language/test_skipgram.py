"""Skip-gram: products of rows, windows against a loop, probabilities that sum to 1."""

import jax
import numpy as np

from nets.language.huffman import huffman_tree
from nets.language.skipgram import SkipGram, context_mask, path_log_probabilities

WORDS = np.array([[0, 3, 3], [6, 1, 0]], np.int32)
OUTPUTS = np.array([[2, 5], [4, 4]], np.int32)


def random_variables(rng):
    shapes = {"words": (7, 4), "outputs": (6, 4)}
    return {"params": {name: rng.normal(size=shape) for name, shape in shapes.items()}}


def test_scores_are_products_of_rows():
    variables = random_variables(np.random.default_rng(0))
    words, outputs = variables["params"]["words"], variables["params"]["outputs"]
    run = jax.jit(SkipGram(7, 6, 4).apply)
    scores = run(variables, WORDS, OUTPUTS)
    both = zip(WORDS, OUTPUTS, strict=True)
    expected = [[[words[i] @ outputs[j] for j in o] for i in w] for w, o in both]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(run(variables, WORDS), words[WORDS] @ outputs.T, rtol=1e-5)


def test_rows_replace_the_tables():
    variables = random_variables(np.random.default_rng(1))
    rows = {"words": np.ones((2, 3, 4)), "outputs": np.full((2, 2, 4), 0.5)}
    run = jax.jit(SkipGram(7, 6, 4).apply)
    scores = run({**variables, "rows": rows}, WORDS, OUTPUTS)
    np.testing.assert_allclose(scores, np.full((2, 3, 2), 2.0))


def test_scales_change_the_gradient_only():
    variables, rng = random_variables(np.random.default_rng(4)), np.random.default_rng(5)
    scales = rng.random(WORDS.shape), rng.random(OUTPUTS.shape)
    model = SkipGram(7, 6, 4)

    def total(rows, *scales):
        return model.apply({**variables, "rows": rows}, WORDS, OUTPUTS, *scales).sum()

    params = variables["params"]
    rows = {"words": params["words"][WORDS], "outputs": params["outputs"][OUTPUTS]}
    graded = jax.jit(jax.value_and_grad(total))
    (plain, gradient), (value, scaled) = graded(rows), graded(rows, *scales)
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    for name, scale in zip(("words", "outputs"), scales, strict=True):
        np.testing.assert_allclose(scaled[name], gradient[name] * scale[..., None], rtol=1e-5)


def test_initial_word_vectors_are_small_and_output_vectors_zero():
    init = jax.jit(SkipGram(50, 49, 20).init)
    params = init(jax.random.key(0), WORDS, OUTPUTS)["params"]
    assert params["words"].shape == (50, 20)
    assert params["outputs"].shape == (49, 20)
    assert 0.024 < np.abs(params["words"]).max() <= 0.025
    assert not params["outputs"].any()


def test_context_mask_matches_a_loop_over_words_and_their_windows():
    rng = np.random.default_rng(2)
    window, centres = 3, 5
    radius = rng.integers(0, window + 1, (4, centres))
    sentence = np.sort(rng.integers(0, 4, (4, centres + 2 * window)), axis=1)
    expected = np.zeros((4, centres + 2 * window, centres))
    for b, c in np.ndindex(radius.shape):
        centre = c + window
        for i in range(centre - radius[b, c], centre + radius[b, c] + 1):
            if i != centre and sentence[b, i] == sentence[b, centre]:
                expected[b, i, c] = 1
    assert 0 < expected.sum() < (2 * radius).sum()
    np.testing.assert_array_equal(jax.jit(context_mask)(radius, sentence), expected)


def test_hierarchical_softmax_sums_to_one_over_the_vocabulary():
    counts = [50, 20, 20, 7, 3, 2, 1]
    tree = huffman_tree(counts)
    scores = np.random.default_rng(3).normal(size=(5, len(counts) - 1)) * 3
    logs = jax.jit(path_log_probabilities)(scores[:, tree.nodes], tree.branches)
    assert logs.shape == (5, len(counts))
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, rtol=1e-5)
    first = tree.branches[0, 0] * scores[:, len(counts) - 2]  # its path has one node
    np.testing.assert_allclose(logs[:, 0], -np.log1p(np.exp(-first)), rtol=1e-5)
