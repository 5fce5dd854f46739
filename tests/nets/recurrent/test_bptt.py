"""The hand-written gradient against autodiff: first and second derivatives, bfloat16, options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.choices import Choices
from nets.recurrent.bptt import has_rule, scan_fused
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.layers import RNN
from nets.recurrent.scan import Options, Steps, hoist_pays, hoist_pays_forward, scan_cell
from tests.nets.recurrent import oracle
from tests.nets.recurrent.networks import (
    CELLS,
    PRECISIONS,
    STANDARD,
    B,
    D,
    T,
    assert_close,
    identity,
    make_cell,
    make_network,
    quick_jit,
    scalar,
    setting,
)

standard = pytest.mark.parametrize("name", STANDARD)
MASK = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
RESETS = np.array([[0, 0, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 0]])
GIVEN = {"mask": MASK, "resets": RESETS}


def number(net, given=GIVEN):
    """(variables, x, carry) -> a scalar that depends on all results."""

    def run(variables, x, carry):
        results = net.apply(variables, x, initial_carry=carry, **given)
        return scalar(jax.tree.leaves(results))

    return run


def by_rule(name, form, **given):
    """The scalar with the custom rule, and with autodiff."""
    rules = ("custom", "autodiff")
    return [number(make_network(name, form, "float64", rule=rule), given) for rule in rules]


# test_layers.py has lengths, masks and resets together
@standard
@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("forward", {}),
        ("forward", {"mask": MASK}),
        ("reversed", {}),
        ("reversed", {"resets": RESETS}),
    ],
    ids=["plain", "mask", "reversed", "resets"],
)
def test_custom_rule_is_autodiff(name, form, given):
    with PRECISIONS["float64"]():
        arguments = setting(name, form, "float64")
        ours, theirs = (jax.value_and_grad(f, (0, 1, 2)) for f in by_rule(name, form, **given))
        both = quick_jit(lambda *arguments: (ours(*arguments), theirs(*arguments)))
        assert_close(*both(*arguments), 1e-11)


@standard
def test_reverse_over_reverse_is_autodiff(name):
    with PRECISIONS["float64"]():
        arguments = setting(name, "forward", "float64", time=4)
        along = setting(name, "forward", "float64", time=4, seed=40)
        given = {"mask": MASK[:, :4], "resets": RESETS[:, :4]}

        def product(f):
            """Hessian of all arguments times `along`."""
            slope = jax.grad(f, (0, 1, 2))

            def inner(*arguments):
                pairs = zip(jax.tree.leaves(slope(*arguments)), jax.tree.leaves(along), strict=True)
                return sum(jnp.vdot(a, b) for a, b in pairs)

            return jax.grad(inner, (0, 1, 2))

        ours, theirs = map(product, by_rule(name, "forward", **given))
        both = quick_jit(lambda *arguments: (ours(*arguments), theirs(*arguments)))
        assert_close(*both(*arguments), 1e-10)


def test_whole_hessian_is_autodiff():
    name = "gru"
    with PRECISIONS["float64"]():
        variables, x, carry = setting(name, "forward", "float64", lead=(1,), time=3)

        def hessian(f):
            def of_kernel(kernel):
                cell = {**variables["params"]["cell"], "recurrent_kernel": kernel}
                return f({"params": {"cell": cell}}, x, carry)

            return jax.jacrev(jax.jacrev(of_kernel))(
                variables["params"]["cell"]["recurrent_kernel"]
            )

        ours, theirs = quick_jit(lambda: [hessian(f) for f in by_rule(name, "forward")])()
        assert_close(ours, theirs, 1e-10)
        size = ours.shape[0] * ours.shape[1]
        matrix = np.asarray(ours).reshape(size, size)
        assert_close(matrix, matrix.T, 1e-10)
        assert np.abs(matrix).max() > 1e-3


@pytest.mark.parametrize("name", [*STANDARD, "lstm_full", "min_gru"])
def test_forward_mode_of_the_autodiff_rule_is_the_derivative_of_the_loop(name):
    with PRECISIONS["float64"]():
        variables, x, carry = setting(name, "forward", "float64")
        along = setting(name, "forward", "float64", seed=40)[0]
        run = number(make_network(name, "forward", "float64", rule="autodiff"))
        slope = quick_jit(lambda v, d: jax.jvp(lambda v: run(v, x, carry), (v,), (d,))[1])
        moved = jax.tree.map(
            lambda a, d: a + oracle.SMALL * 1j * d, variables["params"], along["params"]
        )
        leaves = jax.tree.leaves(carry)
        rows = oracle.Rows(x, MASK != 0, RESETS != 0)
        expected = oracle.batch("forward", CELLS[name][2], moved, [leaves], rows)
        assert_close(
            np.asarray(slope(variables, along)), scalar(expected).imag / oracle.SMALL, 1e-10
        )


def test_forward_mode_of_the_custom_rule_raises():
    variables, x, carry = setting("lstm")
    run = number(make_network("lstm", "forward"))
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda x: run(variables, x, carry), (x,), (x,))


@standard
def test_bfloat16_gradient_is_autodiff_within_bfloat16_rounding(name):
    arguments = setting(name)

    def gradient(dtype, rule):
        cell = make_cell(name, dtype=jnp.float32).clone(dtype=dtype)
        net = RNN(cell, rule=rule)
        return jax.grad(number(net), (0, 1, 2))

    runs = [
        gradient(dtype, rule)
        for dtype, rule in ((jnp.bfloat16, "custom"), (jnp.bfloat16, "autodiff"), (None, "custom"))
    ]
    ours, theirs, exact = map(
        jax.tree.leaves, quick_jit(lambda *a: [run(*a) for run in runs])(*arguments)
    )
    for a, b, c in zip(ours, theirs, exact, strict=True):
        assert a.dtype == b.dtype == c.dtype == jnp.float32
        # 8 bits; T steps with two products each
        bound = 2 * T * 2.0**-8 * np.abs(c).max()
        assert np.abs(a - b).max() < bound
        assert 0 < np.abs(a - c).max() < bound


@pytest.mark.parametrize("name", [*STANDARD, "lstm_layer_norm", "lstm_full"])
def test_input_product_before_the_loop_equals_that_inside(name):
    with PRECISIONS["float64"]():
        variables, x, carry = setting(name, "forward", "float64")
        cell = make_cell(name, "float64")
        marks = (jnp.asarray(MASK.T != 0), jnp.asarray(RESETS.T != 0))

        def run(hoist):
            options = Options(reverse=True, hoist=hoist)

            def of(weights, x, carry):
                steps = Steps(x, *marks)
                if has_rule(cell):
                    return scan_fused(cell, options, weights, carry, steps)
                return scan_cell(cell, weights, carry, steps, options)

            def summed(*arguments):
                results = of(*arguments)
                return scalar(jax.tree.leaves(results)), results

            return jax.value_and_grad(summed, (0, 1, 2), has_aux=True)

        both = quick_jit(lambda *arguments: (run(True)(*arguments), run(False)(*arguments)))
        weights = variables["params"]["cell"]
        assert_close(*both(weights, np.swapaxes(x, 0, 1), carry), 1e-11)


@pytest.fixture
def every_kernel_is_large(monkeypatch):
    monkeypatch.setattr("nets.choices.chosen", lambda: Choices(large_kernel=1))


def barriers(f, *arguments):
    """Number of barriers that keep XLA from merging a transposition into a product."""
    return str(jax.make_jaxpr(f)(*arguments)).count("optimization_barrier")


@pytest.mark.parametrize("name", STANDARD)
def test_a_large_kernel_comes_first_in_the_product_and_nothing_changes(
    name, every_kernel_is_large, monkeypatch
):
    with PRECISIONS["float64"]():
        cell = make_cell(name, "float64")
        rng = np.random.default_rng(0)
        x = rng.normal(size=(16, 4, D))
        valid, resets = rng.random((2, 16, 4)) < 0.7
        given = {"mask": valid, "resets": resets}
        variables = setting(name, "forward", "float64")[0]
        transposed, plain = (RNN(cell, rule=rule) for rule in ("custom", "autodiff"))

        def of(net):
            def run(variables, x):
                marks = {name: rows[: len(x)] for name, rows in given.items()}
                return scalar(jax.tree.leaves(net.apply(variables, x, **marks)))

            return jax.value_and_grad(run, (0, 1))

        both = quick_jit(lambda *arguments: (of(transposed)(*arguments), of(plain)(*arguments)))
        assert_close(*both(variables, x), 1e-11)
        # the transposed kernel and the rows of its gradient; with 15 rows, only the latter
        counts = [barriers(of(transposed), variables, x[:rows]) for rows in (16, 15)]
        assert counts[0] > counts[1] > 0
        monkeypatch.undo()
        assert not barriers(of(transposed), variables, x)


def test_the_input_product_is_in_the_loop_where_that_is_faster(monkeypatch):
    """On a CPU: before the loop for one gate or a large kernel; elsewhere always before it."""
    x = jnp.zeros((3, 2, 512))
    assert hoist_pays(ElmanCell(4), x)
    assert not hoist_pays(LSTMCell(4), x)
    assert hoist_pays(LSTMCell(512), x)
    assert hoist_pays_forward(LSTMCell(4), x)
    assert not hoist_pays_forward(GRUCell(4), x)
    assert not hoist_pays_forward(LSTMCell(4), jax.ShapeDtypeStruct((2**10, 2**10, 4), x.dtype))
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert hoist_pays(LSTMCell(4), x)
    assert hoist_pays_forward(GRUCell(4), x)


def products_in_loops(jaxpr, inside=False):
    """Result shapes of the matrix products in the bodies of scans."""
    for equation in jaxpr.eqns:
        if inside and equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.shape
        for part in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from products_in_loops(inner, inside or equation.primitive.name == "scan")


def test_kernel_gradients_are_computed_after_the_loop():
    """Autodiff adds to them inside the loop."""
    arguments = setting("lstm")
    kernel = arguments[0]["params"]["cell"]["recurrent_kernel"].shape
    shapes = {}
    for rule in ("custom", "autodiff"):
        net = make_network("lstm", "forward", rule=rule)
        jaxpr = jax.make_jaxpr(jax.grad(number(net)))(*arguments)
        shapes[rule] = set(products_in_loops(jaxpr.jaxpr))
    assert not {kernel, kernel[::-1]} & shapes["custom"]
    assert {kernel, kernel[::-1]} & shapes["autodiff"]


def test_which_cells_have_a_rule():
    assert all(has_rule(make_cell(name)) for name in STANDARD)
    assert has_rule(LSTMCell(3, forget_bias=0.0))
    assert not any(has_rule(make_cell(name)) for name in CELLS if name not in STANDARD)
    assert not has_rule(LSTMCell(3, output_activation=identity))
    assert not has_rule(ElmanCell(3, activation=identity))


def test_a_subclass_does_not_inherit_the_rule():
    class Other(GRUCell):
        """Halves the new state of the GRU."""

        def step(self, weights, carry, inputs, drop=None):
            return super().step(weights, carry, inputs, drop) / 2

    variables, x, _ = setting("gru")
    runs = [quick_jit(RNN(kind(4)).apply) for kind in (Other, GRUCell)]
    (_, outputs), (_, halves) = (run(variables, x[:, :1]) for run in runs)
    assert_close(outputs, halves / 2)


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_gradient_of_the_input_has_its_dtype(kind):
    variables, x, carry = setting("lstm")
    gradient = jax.grad(number(make_network("lstm", "forward")), 1)
    result = jax.eval_shape(gradient, variables, jnp.asarray(x, kind), carry)
    assert (result.shape, result.dtype) == ((B, T, D), kind)
