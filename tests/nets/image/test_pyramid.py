import jax
import jax.numpy as jnp
import numpy as np

from nets.image.pyramid import bin_edges, pool_windows, windows_of_boxes

LEVELS = (3, 2, 1)


def plain(features, windows):
    """The loop that `pool_windows` equals."""
    rows = []
    for xmin, ymin, xmax, ymax in windows:
        row = []
        for n in LEVELS:
            for i in range(n):
                for j in range(n):
                    y, x = ymax - ymin, xmax - xmin
                    top, bottom = ymin + i * y // n, ymin - (-(i + 1) * y // n)
                    left, right = xmin + j * x // n, xmin - (-(j + 1) * x // n)
                    row.append(features[top:bottom, left:right].max(axis=(0, 1)))
        rows.append(np.stack(row))
    return np.stack(rows)


def example():
    rng = np.random.default_rng(0)
    features = -rng.uniform(1, 2, (9, 13, 2)).astype(np.float32)  # all negative
    low = np.stack([rng.integers(0, 13, 30), rng.integers(0, 9, 30)], axis=1)
    high = np.stack([rng.integers(low[:, 0] + 1, 14), rng.integers(low[:, 1] + 1, 10)], axis=1)
    whole = [[0, 0, 13, 9], [12, 8, 13, 9]]
    return features, np.concatenate([np.concatenate([low, high], axis=1), whole])


def test_bins_of_ten_cells_are_the_published_ones():
    first, last = jax.jit(bin_edges, static_argnums=2)(jnp.int32(0), jnp.int32(10), 4)
    pairs = list(zip(first.tolist(), last.tolist(), strict=True))
    assert pairs == [(0, 3), (2, 5), (5, 8), (7, 10)]


def test_pooling_equals_a_loop_in_value_and_gradient():
    features, windows = example()
    weights = np.random.default_rng(1).normal(size=(len(windows), 14, 2)).astype(np.float32)

    def total(x):
        pooled = pool_windows(x, windows, LEVELS)
        return (pooled * weights).sum(), pooled

    (_, pooled), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(features)
    np.testing.assert_array_equal(pooled, plain(features, windows))
    expected = np.zeros_like(features)
    for row, window in zip(weights, windows, strict=True):
        bins = iter(row)
        xmin, ymin, xmax, ymax = window
        for n in LEVELS:
            for i in range(n):
                for j in range(n):
                    y, x = ymax - ymin, xmax - xmin
                    top, bottom = ymin + i * y // n, ymin - (-(i + 1) * y // n)
                    left, right = xmin + j * x // n, xmin - (-(j + 1) * x // n)
                    values = next(bins)
                    for c in range(2):
                        part = features[top:bottom, left:right, c]
                        at = np.unravel_index(part.argmax(), part.shape)
                        expected[top + at[0], left + at[1], c] += values[c]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_windows_of_boxes_hold_a_cell_and_lie_in_the_map():
    boxes = np.array([[0, 0, 16, 15], [-30, -30, -20, 50], [33, 5, 33.5, 5.5], [90, 90, 95, 95]])
    windows = jax.jit(windows_of_boxes, static_argnums=2)(jnp.array(boxes), 8, (6, 10))
    expected = [[0, 0, 2, 2], [0, 0, 1, 6], [4, 0, 5, 1], [9, 5, 10, 6]]
    np.testing.assert_array_equal(windows, expected)


def test_no_window():
    pool = jax.jit(pool_windows, static_argnums=2)
    assert pool(jnp.zeros((4, 4, 3)), jnp.zeros((0, 4)), (2, 1)).shape == (0, 5, 3)
