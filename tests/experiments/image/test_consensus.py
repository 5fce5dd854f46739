"""Consensus of captions: against plain loops, ties, and the settings that are refused."""

import math

import numpy as np
import pytest

from experiments import captioning
from experiments.image.consensus import Consensus, checked, mean_of_largest, nearest
from nets.decoding.beam import BeamResult
from train.config import ConfigError

SIZE = {**captioning.Config.TINY, "batch_size": 4}
REFERENCES = [
    ["a man rides a horse", "a man on a brown horse"],
    ["two dogs play in the snow"],
    ["a man and a dog", "a dog runs with a man in the snow", "a man walks a dog"],
    ["a plate of food on a table"],
]
SUMMARIES = np.random.default_rng(1).normal(size=(4, 3))
HYPOTHESES = [
    ["a horse", "a man rides a dog", "a plate of food", ""],
    ["a man in the snow", "two dogs", "a man", "food on a table"],
]


def weights(caption, order):
    """Weights of the n-grams of a caption, by the definition."""
    words, found = caption.split(), {}
    for i in range(len(words) - order + 1):
        gram = " ".join(words[i : i + order])
        having = sum(any(f" {gram} " in f" {text} " for text in texts) for texts in REFERENCES)
        idf = math.log(len(REFERENCES) / max(1, having))
        found[gram] = found.get(gram, 0.0) + idf
    return found


def likeness(caption, reference):
    """Similarity of CIDEr-D, by the definition."""
    total = 0.0
    for order in range(1, 5):
        own, other = weights(caption, order), weights(reference, order)
        norms = [math.sqrt(sum(g**2 for g in vector.values())) for vector in (own, other)]
        if all(norms):
            product = sum(min(own[w], other[w]) * other[w] for w in own if w in other)
            total += product / norms[0] / norms[1] / 4
    difference = len(caption.split()) - len(reference.split())
    return 10 * total * math.exp(-(difference**2) / 72)


def mean_of_best(found, count):
    best = sorted(found, reverse=True)[:count]
    return sum(best) / len(best) if best else 0.0


def similar_captions(summary, images):
    """Captions of the training images in the order of their cosines around the mean."""
    centre = SUMMARIES.mean(axis=0)

    def cosine(known):
        a, b = summary - centre, known - centre
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    order = sorted(range(len(SUMMARIES)), key=lambda i: -cosine(SUMMARIES[i]))
    return [caption for i in order[:images] for caption in REFERENCES[i]]


@pytest.mark.parametrize(("images", "captions"), [(1, 1), (2, 3), (3, 2), (4, 100)])
def test_scores_and_the_caption_of_the_neighbours_are_those_of_a_loop(images, captions):
    own = np.random.default_rng(2).normal(size=(2, 3))
    consensus = Consensus(SUMMARIES, REFERENCES, images, captions)
    expected, chosen, of_nearest = [], [], []
    for summary, texts in zip(own, HYPOTHESES, strict=True):
        near = similar_captions(summary, images)
        expected.append([mean_of_best([likeness(t, r) for r in near], captions) for t in texts])
        among = [
            mean_of_best([likeness(t, r) for j, r in enumerate(near) if j != i], captions)
            for i, t in enumerate(near)
        ]
        chosen.append(near[among.index(max(among))])
        among = among[: len(similar_captions(summary, 1))]
        of_nearest.append(near[among.index(max(among))])
    np.testing.assert_allclose(consensus.scores(HYPOTHESES, own), expected, atol=1e-12)
    assert np.ptp(expected) > 0.1
    assert consensus.without_network(own, images) == chosen
    assert consensus.without_network(own, 1) == of_nearest


def test_mean_of_largest():
    rows = np.array([[1.0, 5.0, 3.0], [0.0, 0.0, 2.0]])
    np.testing.assert_array_equal(mean_of_largest(rows, 2), [4, 1])
    np.testing.assert_array_equal(mean_of_largest(rows, 9), [3, 2 / 3])
    np.testing.assert_array_equal(mean_of_largest(np.zeros((1, 0)), 9), [0])  # the only caption


def test_equal_images_and_equal_hypotheses_stay_in_order():
    known = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(nearest(known[:1], known, 3), [[0, 1, 3]])
    consensus = Consensus(known, REFERENCES, 1, 20)
    texts = [["food", "a man rides a horse", "snow", "a man rides a horse"]]
    tokens = np.arange(8).reshape(1, 4, 2)
    scores, lengths = -np.arange(4.0)[None], np.full((1, 4), 2)
    result = BeamResult(tokens, scores, tokens / 2, lengths, tokens[..., None])
    found = consensus.reranked(result, texts, known[:1], 3)
    np.testing.assert_array_equal(found.tokens[0], [[2, 3], [6, 7], [0, 1]])
    np.testing.assert_array_equal(found.log_probs, found.tokens / 2)
    np.testing.assert_array_equal(found.attention[..., 0], found.tokens)
    assert found.scores[0, 0] == found.scores[0, 1] > found.scores[0, 2] == 0


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"consensus": 17}, "consensus must be 0 to 16, the number of training images .* got 17"),
        ({"consensus": 1, "feedback": False}, "consensus needs config.feedback=True"),
    ],
)
def test_settings_that_are_refused(changes, part):
    with pytest.raises(ConfigError, match=part) as caught:
        captioning.build(captioning.Config(**SIZE | changes))
    assert "\n" not in str(caught.value)


def test_a_run_that_kept_no_images_has_no_consensus():
    config = captioning.Config(**SIZE)
    with pytest.raises(ConfigError, match="consensus must be 0, got 2: the run was trained with"):
        checked(config, None)
    assert checked(captioning.Config(**SIZE | {"consensus": 0}), None) is None
