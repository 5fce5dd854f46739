"""Blocks for skip-gram: every word once per pass, and the sampling distributions."""

import numpy as np
import pytest
from scipy.stats import chisquare

from data.catalogue import DataError
from data.text.skipgram import (
    OUTSIDE,
    Blocks,
    EvaluationBlocks,
    TrainingBlocks,
    keep_probability,
    noise_cdf,
    sample_words,
)
from data.text.words import Tokens

COUNTS = np.array([5000, 800, 150, 40, 10])


def numbered(count, length=7):
    """Text in which the id of a word is its position; sentences of `length` words."""
    return Tokens(np.arange(count, dtype=np.int32), np.arange(count, dtype=np.int32) // length)


def blocks(size=4, window=2, noise=0, **options):
    return Blocks(size, window, noise, noise_cdf(COUNTS), **{"limit": 1000, **options})


def test_noise_words_have_the_frequency_of_counts_to_three_quarters():
    drawn = sample_words(noise_cdf(COUNTS), (300, 100), np.random.default_rng(0))
    expected = COUNTS**0.75 / (COUNTS**0.75).sum()
    observed = np.bincount(drawn.ravel(), minlength=len(COUNTS))
    assert chisquare(observed, expected * drawn.size).pvalue > 0.01
    assert chisquare(observed, COUNTS / COUNTS.sum() * drawn.size).pvalue < 1e-9
    assert drawn.dtype == np.int32


def test_probability_to_be_kept_is_that_of_the_authors_program():
    # (sqrt(n / (t N)) + 1) t N / n
    total, threshold = COUNTS.sum(), 0.02
    expected = (np.sqrt(COUNTS / (threshold * total)) + 1) * threshold * total / COUNTS
    assert expected[0] < 1 < expected[-1]
    np.testing.assert_allclose(keep_probability(COUNTS, threshold), np.minimum(expected, 1))
    np.testing.assert_array_equal(keep_probability(COUNTS, 0.0), np.ones(5))


def test_words_are_subsampled_independently_in_each_pass():
    ids = np.random.default_rng(1).permutation(np.repeat(np.arange(5, dtype=np.int32), COUNTS))
    text = Tokens(ids, np.zeros(len(ids), np.int32))
    keep = keep_probability(COUNTS, 0.02)
    train = TrainingBlocks(text, keep, blocks(size=16), 8, seed=3)
    kept = [np.zeros(5) for _ in range(2)]
    for step in range(2 * train.steps):
        batch = train(step)
        words = batch["words"][:, 2:-2][batch["reach"] > 0]
        kept[step // train.steps] += np.bincount(words, minlength=5)
    assert not np.array_equal(*kept)
    for found in kept:
        observed, some = np.stack([found, COUNTS - found]), keep < 1
        expected = np.stack([COUNTS * keep, COUNTS * (1 - keep)])
        distance = ((observed - expected)[:, some] ** 2 / expected[:, some]).sum()
        assert distance < 13.8  # chi-square, 1 in 1000 with two degrees of freedom
        np.testing.assert_array_equal(observed[1, ~some], 0)
    assert (keep < 1).sum() == 2


def test_a_pass_has_every_word_once_with_its_neighbours():
    train = TrainingBlocks(numbered(50), np.ones(50), blocks(), batch_size=3, seed=0)
    assert train.steps == 5  # 50 words, 4 a block, 3 blocks a step
    words, orders = [], []
    for step in range(train.steps):
        batch = train(step)
        assert {x.dtype for k, x in batch.items() if "share" not in k} == {np.dtype(np.int32)}
        assert batch["words"].shape == (3, 8)
        real = batch["sentence"] != OUTSIDE
        np.testing.assert_array_equal(batch["sentence"][real], batch["words"][real] // 7)
        assert (np.diff(batch["words"], axis=1)[real[:, 1:] & real[:, :-1]] == 1).all()
        inside = batch["reach"] > 0
        np.testing.assert_array_equal(inside, real[:, 2:-2])
        words += batch["words"][:, 2:-2][inside].tolist()
        orders += batch["words"][:, 2].tolist()
    assert sorted(words) == list(range(50))
    assert orders != sorted(orders)


def test_window_radii_are_uniform_and_pairs_are_counted():
    text = numbered(4000)
    train = TrainingBlocks(text, np.ones(4000), blocks(16, window=3), batch_size=5, seed=0)
    radius = np.concatenate([train(step)["reach"].ravel() for step in range(train.steps)])
    counts = np.bincount(radius[radius > 0], minlength=4)[1:]
    assert chisquare(counts).pvalue > 0.01
    # 7 words have 6, 5, 4 pairs at distance 1, 2, 3, counted from both sides, of which the windows
    # include 3/3, 2/3, 1/3
    pairs = 4000 / 7 * 2 * (6 + 5 * 2 / 3 + 4 / 3)
    assert train.pairs_per_step == pytest.approx(pairs / train.steps, rel=2e-3)


def test_held_out_text_is_read_once_in_order_and_always_the_same():
    held_out = EvaluationBlocks(numbered(30), np.ones(30), blocks(noise=3), 2, "test")
    first, again = list(held_out), list(held_out)
    assert all((a[k] == b[k]).all() for a, b in zip(first, again, strict=True) for k in a)
    words = np.concatenate([b["words"][:, 2:-2][b["reach"] > 0] for b in first])
    np.testing.assert_array_equal(words, np.arange(30))
    assert {batch["noise"].shape for batch in first} == {(2, 3)}


def test_outputs_are_targets_and_noise_or_the_paths_of_targets():
    paths = np.stack([np.arange(30) + 100, np.arange(30) % 2 - 1], axis=1)  # odd: 0, even: none
    (batch,) = EvaluationBlocks(numbered(8), np.ones(8), blocks(noise=3), 2, "test")
    expected = np.concatenate([[[0, 1, 2, 3], [4, 5, 6, 7]], batch["noise"]], axis=1)
    np.testing.assert_array_equal(batch["outputs"], expected)
    (batch,) = EvaluationBlocks(numbered(8), np.ones(8), blocks(paths=paths), 2, "test")
    first = [100, 0, 101, 0, 102, 0, 103, 0]
    np.testing.assert_array_equal(batch["outputs"], [first, [104, 0, 105, 0, 106, 0, 107, 0]])
    assert "noise" not in batch


def test_gradients_of_frequent_rows_are_scaled_down_to_the_limit():
    text = Tokens(np.array([1, 1, 2, 1, 2, 1, 1, 0], np.int32), np.zeros(8, np.int32))
    paths = np.array([[5, -1], [6, -1], [7, 5]])
    (batch,) = EvaluationBlocks(text, np.ones(8), blocks(limit=2, paths=paths), 2, "test")
    real = batch["sentence"] != OUTSIDE
    counts = np.bincount(batch["words"][real])  # without positions outside the text
    assert counts[2] == 4  # two in their own block, two beside the other block
    expected = np.minimum(1, 2 / counts)[batch["words"]]
    np.testing.assert_allclose(batch["word_share"][real], expected[real], rtol=1e-6)
    # node 5 is on three paths, node 6 on five, node 7 on two
    share = {5: 2 / 3, 6: 2 / 5, 7: 1.0}
    nodes = batch["outputs"]
    expected = [share[node] for node in nodes[nodes > 0]]
    np.testing.assert_allclose(batch["output_share"][nodes > 0], expected, rtol=1e-6)


@pytest.mark.parametrize("paths", [None, np.array([[5, 6], [5, 7]])])
def test_positions_outside_the_text_do_not_count_as_words(paths):
    text = Tokens(np.array([0, 1, 1], np.int32), np.zeros(3, np.int32))
    (batch,) = EvaluationBlocks(text, np.ones(2), blocks(limit=2, paths=paths), 3, "test")
    real = batch["sentence"] != OUTSIDE
    # the last word is in its own block and beside the next one
    np.testing.assert_allclose(batch["word_share"][real], [1, 2 / 3, 2 / 3, 2 / 3], rtol=1e-6)
    inside = batch["reach"] > 0
    share = batch["output_share"].reshape(*inside.shape, -1)[inside]
    # node 5 is on all three paths
    expected = np.ones((3, 1)) if paths is None else [[2 / 3, 1], [2 / 3, 1], [2 / 3, 1]]
    np.testing.assert_allclose(share, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (numbered(2), "the test text has 2 known words; a window .* of 2 needs 3"),
        (numbered(9, length=1), "no sentence of the test text has two known words"),
    ],
)
def test_a_text_without_pairs_is_refused(text, part):
    with pytest.raises(DataError, match=part):
        EvaluationBlocks(text, np.ones(9), blocks(), 1, "test")
    with pytest.raises(DataError, match=part.replace("test", "training")):
        TrainingBlocks(text, np.ones(9), blocks(), 1, 0)
