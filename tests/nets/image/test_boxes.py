import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.image import boxes as b


def random_boxes(rng, *shape, side=20.0):
    low = rng.uniform(0, side, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(1, side, (*shape, 2))], axis=-1)


def plain_iou(a, c):
    width = min(a[2], c[2]) - max(a[0], c[0])
    height = min(a[3], c[3]) - max(a[1], c[1])
    common = max(width, 0) * max(height, 0)
    size = (a[2] - a[0]) * (a[3] - a[1]) + (c[2] - c[0]) * (c[3] - c[1])
    return common / (size - common)


def test_iou_equals_a_loop():
    rng = np.random.default_rng(0)
    first, second = random_boxes(rng, 3, 5), random_boxes(rng, 3, 7)
    pairs = zip(first, second, strict=True)
    expected = [[[plain_iou(x, y) for y in ys] for x in xs] for xs, ys in pairs]
    np.testing.assert_allclose(jax.jit(b.iou)(first, second), expected, rtol=1e-5)
    half, point, none = jax.jit(
        lambda none: (
            b.iou([[0, 0, 10, 10]], [[5, 0, 15, 10]]),
            b.iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]),
            b.iou(none, [[0, 0, 1, 1]]),
        )
    )(np.zeros((0, 4)))
    assert half[0, 0] == pytest.approx(1 / 3)
    assert point[0, 0] == 0
    assert none.shape == (0, 1)


def test_targets_of_the_published_equations_and_their_inverse():
    box, target = np.array([10.0, 20, 50, 60]), np.array([14.0, 18, 58, 66])
    rng = np.random.default_rng(1)
    boxes, targets = random_boxes(rng, 4, 6), random_boxes(rng, 4, 6)

    @jax.jit
    def run(box, target, boxes, targets):
        return b.encode(box, target), b.decode(boxes, b.encode(boxes, targets))

    changes, back = run(box, target, boxes, targets)
    np.testing.assert_allclose(changes, [0.15, 0.05, 0.09531, 0.18232], atol=5e-6)
    np.testing.assert_allclose(back, targets, atol=1e-4)


def test_matching_takes_the_first_of_the_best_valid_objects():
    objects = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 9, 9]])
    boxes = np.array([[0, 0, 10, 9], [50, 50, 60, 65], [80, 80, 90, 90]])
    match = jax.jit(lambda boxes, objects: b.match(boxes, objects, [1, 1, 1, 0]))
    index, overlap = match(boxes, objects)
    np.testing.assert_array_equal(index, [0, 2, 0])
    np.testing.assert_allclose(overlap, [0.9, 2 / 3, 0], rtol=1e-6)
    index, overlap = jax.jit(b.match)(boxes, np.zeros((0, 4)), np.zeros(0))
    np.testing.assert_array_equal(index, [0, 0, 0])
    np.testing.assert_array_equal(overlap, [0, 0, 0])


def plain_nms(boxes, scores, threshold):
    keep = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if scores[i] > -np.inf and all(plain_iou(boxes[i], boxes[j]) <= threshold for j in keep):
            keep.append(i)
    return np.isin(np.arange(len(scores)), keep)


def test_suppression_equals_a_loop():
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 2, 3, 25).astype(np.float32)
    scores = rng.integers(0, 8, (2, 3, 25)).astype(np.float32)  # with ties
    scores[scores == 0] = -np.inf
    for threshold in (0.0, 0.3, 0.7):
        result = jax.jit(b.nms)(boxes, scores, threshold)
        for at in np.ndindex(2, 3):
            expected = plain_nms(boxes[at].astype(np.float64), scores[at], threshold)
            np.testing.assert_array_equal(result[at], expected)


def test_suppression_of_a_chain_and_at_the_threshold():
    boxes = jnp.array([[0, 0, 10, 10], [1, 0, 11, 10], [6, 0, 16, 10.0]])
    scores = jnp.array([0.9, 0.8, 0.7])
    nms = jax.jit(b.nms)
    np.testing.assert_array_equal(nms(boxes, scores, 0.3), [True, False, True])
    half = jnp.array([[0, 0, 10, 10], [0, 0, 10, 5.0]])  # an overlap of exactly 1/2 stays
    np.testing.assert_array_equal(nms(half, scores[:2], 0.5), [True, True])
    assert nms(jnp.zeros((0, 4)), jnp.zeros(0), 0.5).shape == (0,)
