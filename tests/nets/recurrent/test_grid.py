"""The scan over hyperplanes against the plain loop over cells, in value and gradient."""

from functools import cache

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from nets.choices import Choices
from nets.recurrent.grid import MDRNN
from nets.recurrent.hyperplanes import corners, grids_side_by_side, skew, unskew

H = 3
B = 8  # two rows for each of four devices
both_cells = pytest.mark.parametrize("cell", ["lstm", "elman"])


def noise_like(tree, seed, scale=0.7):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, scale, a.shape).astype(a.dtype), tree)


def sigmoid(a, xp):
    return 1 / (1 + xp.exp(-a))


def one_direction(w, x, mask, *, signs, cell, xp):
    """The equations, cell by cell: x [N, S_1, ..., D] to the states {p: (c, h)} and a carry."""
    sizes, n = x.shape[1:-1], len(signs)
    zero = xp.zeros((x.shape[0], H), x.dtype)
    states, carry, farthest = {}, (zero, zero), np.full(x.shape[0], -1)
    for q in np.ndindex(*sizes):  # in reading order
        p = tuple(i if s > 0 else size - 1 - i for i, s, size in zip(q, signs, sizes, strict=True))
        before = [tuple(i - s * (d == e) for e, i in enumerate(p)) for d, s in enumerate(signs)]
        before = [states.get(b, (zero, zero)) for b in before]
        valid = mask[(slice(None), *p)] != 0
        total = xp.where(valid[:, None], x[(slice(None), *p)], 0) @ w["kernel"] + w["bias"]
        for d in range(n):
            total = total + before[d][1] @ w["recurrent_kernel"][d]
        if cell == "elman":
            c = h = xp.tanh(total)
        else:
            gate = [total[:, k * H : (k + 1) * H] for k in range(n + 3)]
            c = sigmoid(gate[0], xp) * xp.tanh(gate[n + 1])
            for d in range(n):
                c = c + sigmoid(gate[d + 1], xp) * before[d][0]
            h = sigmoid(gate[n + 2], xp) * xp.tanh(c)
        states[p] = tuple(xp.where(valid[:, None], a, 0) for a in (c, h))
        farther = valid & (sum(q) > farthest)
        farthest = np.where(farther, sum(q), farthest)
        carry = tuple(
            xp.where(farther[:, None], a, b) for a, b in zip(states[p], carry, strict=True)
        )
    return states, carry


def loop(params, x, mask, cell, directions, *, xp=np):
    """The results that MDRNN must return, with concatenated outputs."""
    sizes = x.shape[1:-1]
    carries, outputs = [], []
    for k, signs in enumerate(corners(len(sizes), directions)):
        w = {name: a[k] for name, a in params.items()}
        states, (c, h) = one_direction(w, x, mask, signs=signs, cell=cell, xp=xp)
        grid = xp.stack([states[p][1] for p in np.ndindex(*sizes)], axis=1)
        outputs.append(grid.reshape(*x.shape[:-1], H))
        carries.append((c, h) if cell == "lstm" else h)
    return tuple(carries), xp.concatenate(outputs, axis=-1)


def build(cell, axes, directions, size, dtype=jnp.float32, **options):
    """The network, and random parameters, including biases, for inputs with `size` features."""
    net = MDRNN(H, cell, axes, directions, param_dtype=dtype, **options)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1,) * axes + (size,), dtype))
    return net, noise_like(shapes, 1)


def close(actual, expected, tolerance=1e-5):
    actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def ragged(batch, sizes):
    """A mask of images of different sizes: in turn whole, smaller, with a hole, and empty."""
    mask = np.ones((batch, *sizes), np.int32)
    mask[1::4] = 0
    mask[(slice(1, None, 4), *(slice(max(1, s - 1)) for s in sizes))] = 1
    mask[(slice(2, None, 4), *(s // 2 for s in sizes))] = 0
    mask[3::4] = 0
    return mask


CASES = [
    (1, 1, (6,), 2),
    (1, 2, (5,), 2),
    (2, 1, (3, 5), 2),
    (2, 2, (5, 3), 2),
    (2, 4, (4, 4), 5),  # more features than states: the product precedes the scan
    (2, 4, (1, 6), 2),
    (2, 4, (6, 1), 2),
    (2, 4, (1, 1), 2),
    (2, ((-1, 1), (1, 1), (-1, 1)), (3, 4), 4),
    (3, 8, (4, 2, 3), 2),
    (3, 2, (2, 3, 2), 5),
]


# the geometry does not depend on the cell: the other one has a case for each number of axes
OF_CELLS = [("lstm", *case) for case in CASES] + [("elman", *CASES[k]) for k in (1, 4, 9)]


@pytest.fixture
def join(monkeypatch):
    """Put two grids of a batch side by side, or none; never a plain sequence."""

    def choose(joined, sizes):
        cells = int(np.prod(sizes)) // max(sizes)
        monkeypatch.setattr(
            "nets.choices.chosen", lambda: Choices(grid_rows=B // 2 * cells if joined else 2**40)
        )
        assert grids_side_by_side(B, cells) == (2 if joined and cells > 1 else 1)

    return choose


@pytest.mark.parametrize("number", range(len(OF_CELLS)))
def test_equals_the_plain_loop(number, join):
    cell, axes, directions, sizes, size = OF_CELLS[number]
    net, variables = build(cell, axes, directions, size)
    params = jax.tree.map(np.asarray, variables["params"])
    x = np.random.default_rng(2).normal(size=(B, *sizes, size)).astype(np.float32)
    whole = np.ones(x.shape[:-1])
    join(number % 2, sizes)
    close(jax.jit(net.apply)(variables, x), loop(params, x, whole, cell, directions))
    mask = ragged(B, sizes)
    dirty = np.where(mask[..., None] != 0, x, np.nan)
    expected = loop(params, x, mask, cell, directions)
    join(not number % 2, sizes)
    close(jax.jit(net.apply)(variables, dirty, mask), expected)


def scalar(results):
    """A random linear function of all results of a network."""
    leaves = jax.tree.leaves(results)
    return sum((a * w).sum() for a, w in zip(leaves, noise_like(leaves, 5), strict=True))


@pytest.mark.parametrize(
    "case",
    [
        ("lstm", 2, 4, (2, 2), 2, "float64"),
        ("lstm", 2, ((-1, 1),), (2, 3), 5, "float32"),
        ("lstm", 3, ((1, -1, 1),), (2, 1, 2), 2, "float64"),
        ("elman", 2, 4, (2, 3), 5, "float64"),
        ("elman", 1, 2, (4,), 2, "float32"),
    ],
)
def test_gradient_equals_that_of_the_plain_loop(case, join):
    join(case[2] == 4, case[3])
    cell, axes, directions, sizes, size, dtype = case
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    with jax.enable_x64(dtype == "float64"):
        net, variables = build(cell, axes, directions, size, dtype)
        x = noise_like(np.zeros((B, *sizes, size), dtype), 3, 1.0)
        mask = ragged(B, sizes)
        dirty = np.where(mask[..., None] != 0, x, np.nan).astype(dtype)

        def ours(variables, x):
            return net.apply(variables, x, mask)

        def plain(variables, x):
            params = variables["params"]
            # the masks are concrete, so that numpy can handle them
            return loop(params, x, mask, cell, directions, xp=jnp)

        def graded(run):
            def with_results(variables, x):
                results = run(variables, x)
                return scalar(results), results

            return jax.jit(jax.grad(with_results, argnums=(0, 1), has_aux=True))

        gradient, results = graded(ours)(variables, dirty)
        slope, expected = graded(plain)(variables, x)
        assert {a.dtype.name for a in jax.tree.leaves(results)} == {dtype}
        close(results, expected, tolerance)
        assert np.abs(slope[1]).max() > 0.01
        close(gradient, slope, tolerance)


@cache
def square():
    net, variables = build("lstm", 2, 4, 2)
    return net, variables, noise_like(np.zeros((2, 3, 4, 5, 2), np.float32), 4)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_leading_axes_are_a_batch(lead):
    net, variables, x = square()
    x = x[(0,) * (2 - len(lead))]
    run = jax.jit(net.apply)
    carry, outputs = run(variables, x)
    assert outputs.shape == (*lead, 4, 5, 4 * H)
    assert carry[0].c.shape == carry[3].h.shape == (*lead, H)
    flat = run(variables, x.reshape(-1, 4, 5, 2))
    close(carry, jax.tree.map(lambda a: a.reshape(*lead, H), flat[0]))
    close(outputs, flat[1].reshape(outputs.shape))


@pytest.mark.parametrize(("directions", "corner"), [(1, [(-1, -1)]), (2, [(-1, -1), (0, 0)])])
def test_the_carry_is_the_state_at_the_last_corner(directions, corner):
    net, variables = build("lstm", 2, directions, 2)
    x = noise_like(np.zeros((2, 4, 3, 2), np.float32), 4)
    carry, outputs = jax.jit(net.apply)(variables, x)
    for k, (i, j) in enumerate(corner):
        close(carry[k].h, outputs[:, i, j, k * H : (k + 1) * H])


@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_merged_outputs_are_those_of_the_concatenation(merge):
    net, variables, x = square()
    parts = np.asarray(jax.jit(net.apply)(variables, x)[1]).reshape(*x.shape[:-1], 4, H)
    merged = jax.jit(net.clone(merge=merge).apply)(variables, x)
    close(merged[1], getattr(np, merge)(parts, axis=-2))


@both_cells
def test_the_activation_replaces_tanh(cell):
    net, variables = build(cell, 2, 1, 2, activation=lambda a: 2 * a)
    x = noise_like(np.zeros((1, 1, 2), np.float32), 4)
    w = jax.tree.map(lambda a: np.asarray(a[0]), variables["params"])
    total = np.asarray(x)[0, 0] @ w["kernel"] + w["bias"]
    i, _, _, g, o = np.split(total, 5) if cell == "lstm" else (0, 0, 0, total, 0)
    expected = sigmoid(o, np) * 2 * sigmoid(i, np) * 2 * g if cell == "lstm" else 2 * g
    close(jax.jit(net.apply)(variables, x)[1][0, 0], expected)


def scans(jaxpr):
    """Lengths of all scans in a jaxpr."""
    lengths = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            lengths.append(equation.params["length"])
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            lengths += scans(inner)
    return lengths


@pytest.mark.parametrize(
    ("sizes", "steps"), [((7, 4), 10), ((4, 7), 10), ((1, 5), 5), ((5, 1), 5), ((3, 4, 5), 10)]
)
def test_one_scan_takes_a_step_for_each_hyperplane(sizes, steps):
    net, variables = build("lstm", len(sizes), None, 2)
    jaxpr = jax.make_jaxpr(net.apply)(variables, jnp.zeros((2, *sizes, 2)))
    assert scans(jaxpr.jaxpr) == [steps]


def test_a_skewed_grid_has_each_cell_at_its_hyperplane():
    a = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 1))

    @jax.jit
    def both(a):
        skewed = skew(a, 3)
        return skewed, unskew(skewed, 3, 4)

    skewed, restored = both(a.astype(np.float32))
    assert skewed.shape == (3 + 2 + 4 - 2, 2, 3, 2, 1)
    expected = np.zeros(skewed.shape, np.float32)
    for i, j, k in np.ndindex(3, 2, 4):
        expected[i + j + k, :, i, j] = a[:, i, j, k]
    np.testing.assert_array_equal(skewed, expected)
    np.testing.assert_array_equal(restored, a.astype(np.float32))


@both_cells
def test_a_bfloat16_product_comes_with_a_float32_carry(cell):
    net, variables = build(cell, 2, 4, 2)
    _, _, x = square()
    half = jax.jit(net.clone(dtype=jnp.bfloat16).apply)(variables, x)
    assert {a.dtype for a in jax.tree.leaves(half)} == {jnp.dtype("float32")}
    exact = jax.jit(net.apply)(variables, x)
    close(half, exact, 0.1)
    assert np.abs(half[1] - exact[1]).max() > 1e-4


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_forget_gates_start_with_the_sum_of_one_gate(axes):
    net = MDRNN(H, axes=axes, forget_bias=0.5)
    params = jax.jit(net.init)(jax.random.key(0), np.zeros((2,) * axes + (2,), np.float32))[
        "params"
    ]
    params = jax.tree.map(np.asarray, params)
    bias = params["bias"].reshape(2**axes, axes + 3, H)
    close(axes * sigmoid(bias[:, 1 : axes + 1], np), np.full((2**axes, axes, H), sigmoid(0.5, np)))
    np.testing.assert_array_equal(np.delete(bias, range(1, axes + 1), axis=1), 0.0)
    for block in params["recurrent_kernel"].reshape(-1, H, axes + 3, H).swapaxes(1, 2):
        close(axes * block @ block.swapaxes(1, 2), np.broadcast_to(np.eye(H), block.shape))


@pytest.mark.parametrize(
    ("options", "shape", "mask", "message"),
    [
        ({}, (4, 5), None, r"2 axes.*\(4, 5\)"),
        ({"axes": 0}, (4, 5), None, r"0 axes.*\(4, 5\)"),
        ({}, (4, 0, 2), None, r"\(4, 0, 2\)"),
        ({}, (2, 4, 5, 1), (2, 5, 4), r"\(2, 4, 5\).*\(2, 4, 5, 1\).*\(2, 5, 4\)"),
        ({"cell": "gru"}, (4, 5, 1), None, "'lstm' or 'elman'.*'gru'"),
        ({"merge": "max"}, (4, 5, 1), None, "'concat', 'sum' or 'mean'.*'max'"),
        ({"directions": 3}, (4, 5, 1), None, r"\[1, 2, 4\], got 3"),
        ({"directions": ()}, (4, 5, 1), None, "2 signs"),
        ({"directions": ((1, 1), (1, 0))}, (4, 5, 1), None, r"2 signs.*\(1, 0\)"),
    ],
)
def test_invalid_arguments_are_refused(options, shape, mask, message):
    mask = None if mask is None else jnp.ones(mask)
    with pytest.raises(ValueError, match=message):
        MDRNN(H, **options).init(jax.random.key(0), jnp.zeros(shape), mask)
