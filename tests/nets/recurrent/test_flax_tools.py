"""Flax's and JAX's tools on our layers: tables, remat, vmap, the NNX bridge, and export."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.recurrent.bidirectional import Bidirectional
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.grid import MDRNN
from nets.recurrent.layers import RNN, Stacked
from nets.recurrent.linear_cells import MinGRUCell
from nets.recurrent.stack import DeepRecurrent
from tests.nets.recurrent.networks import (
    B,
    D,
    H,
    T,
    assert_close,
    noise_like,
    quick_jit,
    scalar,
)

LENGTHS = np.array([4, 0, T])
X = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
KEY = jax.random.key(0)
TRAIN = 6  # argument of __call__ by position, self being 0


class HalfGRUCell(GRUCell):
    """A user's cell: overrides the step of one of ours."""

    def step(self, weights, carry, inputs, drop=None):
        return super().step(weights, carry, inputs, drop) / 2


NETWORKS = {
    "custom_rule": lambda: RNN(LSTMCell(H)),
    "autodiff": lambda: RNN(LSTMCell(H, peephole="full"), reverse=True),
    "parallel": lambda: RNN(MinGRUCell(H)),
    "subclass": lambda: RNN(HalfGRUCell(H)),
    "flax_cell": lambda: RNN(nn.GRUCell(H)),
    "chunks": lambda: RNN(LSTMCell(H), remat_chunk=4, truncate=4, reverse=True),
    "bidirectional": lambda: Bidirectional(RNN(GRUCell(H)), RNN(MinGRUCell(H))),
    "stacked": lambda: Stacked(
        [Bidirectional(RNN(ElmanCell(H)), RNN(LSTMCell(H))), RNN(GRUCell(H), reverse=True)],
        dropout=0.5,
    ),
    "deep": lambda: DeepRecurrent(H, layers=2, cell="lstm"),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def fields(net):
    return {name: getattr(net, name) for name in net.__dataclass_fields__} | {"parent": None}


def random_variables(net, x=X, seed=1):
    return noise_like(jax.eval_shape(net.init, KEY, x), seed)


def graded(net):
    """(variables, x, *arguments) -> (gradients, results)."""

    def run(variables, x, *arguments):
        results = net.apply(variables, x, *arguments)
        return scalar(jax.tree.leaves(results)), results

    return quick_jit(jax.grad(run, (0, 1), has_aux=True))


@cache
def graded_network(name):
    """`graded` of one of NETWORKS, compiled once for all tests."""
    return graded(NETWORKS[name]())


# tables and transformations


@every_network
def test_tables_list_every_parameter(name):
    net = NETWORKS[name]()
    size = sum(leaf.size for leaf in jax.tree.leaves(random_variables(net)))
    wide = {"console_kwargs": {"width": 300, "force_terminal": False}}
    for table in (net.tabulate(KEY, X, LENGTHS, **wide), nn.tabulate(net, KEY, **wide)(X)):
        assert type(net).__name__ in table
        assert "cell" in table
        assert f"Total Parameters: {size}" in table


def test_tables_count_operations():
    net = RNN(LSTMCell(H))
    table = net.tabulate(KEY, X, compute_flops=True, compute_vjp_flops=True)
    assert "vjp_flops" in table


@every_network
def test_remat_of_a_layer_changes_nothing_but_what_is_kept(name):
    net = NETWORKS[name]()
    saving = nn.remat(type(net))(**fields(net))
    variables = random_variables(net)
    assert jax.tree.structure(variables) == jax.tree.structure(random_variables(saving))
    run, arguments = graded(saving), (variables, X, LENGTHS)
    assert "remat" in str(run.trace(*arguments).jaxpr)
    assert_close(run(*arguments), graded_network(name)(*arguments), 1e-6)


@pytest.mark.parametrize("name", ["custom_rule", "stacked", "deep"])
def test_jit_of_a_layer_changes_nothing(name):
    net = NETWORKS[name]()
    jitted = nn.jit(type(net))(**fields(net))
    variables = random_variables(net)
    _, expected = graded_network(name)(variables, X, LENGTHS)
    assert_close(jitted.apply(variables, X, LENGTHS), expected, 1e-6)


def test_remat_of_the_layers_of_a_stack_keeps_their_noise():
    def build(rnn_of, both_of):
        return Stacked(
            [
                both_of(rnn_of(LSTMCell(H), dropout=0.3), rnn_of(GRUCell(H), zoneout=0.3)),
                RNN(LSTMCell(H), recurrent_dropout=0.3),
            ],
            dropout=0.3,
        )

    plain = build(RNN, Bidirectional)
    inner = build(nn.remat(RNN, static_argnums=(TRAIN,)), Bidirectional)
    outer = build(RNN, nn.remat(Bidirectional, static_argnums=(TRAIN,)))
    variables, rngs = random_variables(plain), {"dropout": jax.random.key(1)}
    for train in (False, True):

        def run(net, variables, train=train):
            return net.apply(variables, X, LENGTHS, train=train, rngs=rngs)

        runs = [quick_jit(partial(run, net)) for net in (plain, inner, outer)]
        programs = [str(run.trace(variables).jaxpr) for run in runs]
        expected, *results = [run(variables) for run in runs]
        assert [program.count("remat") for program in programs] == [0, 2, 1]
        for result in results:
            assert_close(result, expected, 1e-6)


def test_remat_of_a_deep_network_in_training():
    net = DeepRecurrent(H, layers=2, dropout=0.3)
    saving = nn.remat(DeepRecurrent, static_argnums=(TRAIN,))(H, layers=2, dropout=0.3)
    variables, rngs = random_variables(net), {"dropout": jax.random.key(1)}
    runs = [partial(layer.apply, rngs=rngs) for layer in (saving, net)]
    both = quick_jit(lambda v: [run(v, X, LENGTHS, None, None, None, True) for run in runs])
    assert_close(*both(variables), 1e-6)


def test_a_traced_flag_is_refused_with_the_way_out():
    noisy = nn.remat(RNN)(GRUCell(H), dropout=0.3)
    with pytest.raises(ValueError, match=r"train.* bool.*static_argnums"):
        noisy.init(KEY, X, train=False)
    # where no noise is drawn the flag is not read
    quiet = Stacked([nn.remat(RNN)(GRUCell(H))])
    assert jax.eval_shape(partial(quiet.init, train=True), KEY, X)


@pytest.mark.parametrize("cell", [LSTMCell, nn.LSTMCell])
def test_remat_of_a_cell_holds_inside_of_the_loop(cell):
    plain, saving = RNN(cell(H)), RNN(nn.remat(cell)(H))
    variables = random_variables(plain)
    assert jax.tree.structure(variables) == jax.tree.structure(random_variables(saving))
    run, arguments = graded(saving), (variables, X, LENGTHS)
    assert "remat" in str(run.trace(*arguments).jaxpr)
    assert_close(run(*arguments), graded(plain)(*arguments), 1e-5)
    with pytest.raises(ValueError, match="zoneout needs"):
        RNN(nn.remat(cell)(H), zoneout=0.1).init(KEY, X)


@every_network
def test_vmap_gives_an_ensemble(name):
    net = NETWORKS[name]()
    ensemble = nn.vmap(
        type(net),
        in_axes=(0, 0),
        variable_axes={"params": 0},
        split_rngs={"params": True},
    )(**fields(net))
    x = np.stack([X, -X])
    lengths = np.stack([LENGTHS, LENGTHS[::-1]])
    variables = noise_like(jax.eval_shape(ensemble.init, KEY, x, lengths), 1)
    results = quick_jit(ensemble.apply)(variables, x, lengths)
    for k in range(2):
        one, member = (jax.tree.map(lambda a, k=k: a[k], tree) for tree in (variables, results))
        _, expected = graded_network(name)(one, x[k], lengths[k])
        assert_close(member, expected, 1e-6)


@pytest.mark.parametrize("name", ["custom_rule", "bidirectional", "stacked", "deep"])
def test_nnx_wraps_our_layers(name):
    try:
        from flax import nnx
    except AttributeError as error:  # Flax 0.12 reads a private name that jax 0.11 has removed
        pytest.skip(f"flax.nnx cannot be imported with jax {jax.__version__}: {error}")
    net, shapes = NETWORKS[name](), []

    def loss(model):
        results = model(X, LENGTHS)
        return scalar(jax.tree.leaves(results)), results

    @quick_jit
    def run():
        model = nnx.bridge.ToNNX(net, rngs=nnx.Rngs(0)).lazy_init(X)
        state = nnx.state(model, nnx.Param)
        params = noise_like(nnx.to_pure_dict(state), 1)  # so that no initialiser is compiled
        nnx.replace_by_pure_dict(state, params)
        nnx.update(model, state)
        gradient, results = nnx.grad(loss, has_aux=True)(model)
        noisy = model(X, rngs=nnx.Rngs(dropout=1), train=True)
        shapes.append(jax.tree.map(jnp.shape, noisy))  # its values are not compiled
        return {"params": params}, (results, nnx.to_pure_dict(gradient))

    params, ours = run()
    assert jax.tree.structure(params) == jax.tree.structure(random_variables(net))
    (expected, _), results = graded_network(name)(params, X, LENGTHS)
    assert_close(ours, (results, expected["params"]), 1e-6)
    assert shapes == [jax.tree.map(jnp.shape, ours[0])]


def test_sharding_metadata_of_the_initialisers_is_kept():
    normal = nn.initializers.normal()  # compiles faster than the orthogonal one
    with_names = nn.with_partitioning(normal, (None, "model"))
    boxed, plain = (RNN(LSTMCell(H, recurrent_init=init)) for init in (with_names, normal))
    variables, expected = (quick_jit(net.init)(KEY, X) for net in (boxed, plain))
    kernel = variables["params"]["cell"]["recurrent_kernel"]
    assert kernel.names == (None, "model")
    assert_close(nn.unbox(variables), expected, 0)
    assert_close(quick_jit(boxed.apply)(variables, X), quick_jit(plain.apply)(expected, X), 0)


# export with symbolic sizes


def exported(function, *shapes):
    """`jax.export` of a function of arrays: their dtypes, and shapes in which names are sizes."""
    scope = jax.export.SymbolicScope()
    arguments = [
        jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape, scope=scope), dtype)
        for dtype, shape in shapes
    ]
    return jax.export.export(quick_jit(function))(*arguments)


WITH_GRADIENT = ("custom_rule", "autodiff", "parallel", "chunks")


@every_network
def test_export_with_symbolic_batch_and_time(name):
    net = NETWORKS[name]()
    variables = random_variables(net)

    def loss(variables, x, lengths):
        results = net.apply(variables, x, lengths)
        return sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(results)), results

    def run(x, lengths):
        if name in WITH_GRADIENT:
            return jax.grad(loss, (0, 1), has_aux=True)(variables, x, lengths)
        return net.apply(variables, x, lengths)

    program = exported(run, ("float32", f"b, t, {D}"), ("int32", "b"))
    for rows, time in ((3, 6), (5, 9)):
        x = np.random.default_rng(rows).normal(size=(rows, time, D)).astype(np.float32)
        lengths = np.arange(rows, dtype=np.int32)
        assert_close(program.call(x, lengths), quick_jit(run)(x, lengths))


def test_export_with_leading_axes_masks_resets_and_a_carry():
    net = RNN(LSTMCell(H), zoneout=0.1)
    variables = random_variables(net)

    def run(x, mask, resets, c, h):
        carry = net.cell.initialize_carry(KEY, (*x.shape[:2], D))._replace(c=c, h=h)
        return net.apply(variables, x, mask=mask, resets=resets, initial_carry=carry)

    marks = [("int32", "a, b, t")] * 2
    program = exported(run, ("float32", f"a, b, t, {D}"), *marks, *[("float32", f"a, b, {H}")] * 2)
    for a, b, time in ((2, 3, 4), (1, 2, 7)):
        rng = np.random.default_rng(time)
        x = rng.normal(size=(a, b, time, D)).astype(np.float32)
        mask, resets = (rng.random((2, a, b, time)) < 0.7).astype(np.int32)
        c, h = rng.normal(size=(2, a, b, H)).astype(np.float32)
        arguments = x, mask, resets, c, h
        assert_close(program.call(*arguments), quick_jit(run)(*arguments))


def test_export_of_a_grid_with_a_symbolic_batch():
    net = MDRNN(H)
    variables = random_variables(net, np.zeros((1, 3, 4, D), np.float32))
    program = exported(partial(net.apply, variables), ("float32", f"b, 3, 4, {D}"))
    for rows in (2, 5):
        x = np.random.default_rng(rows).normal(size=(rows, 3, 4, D)).astype(np.float32)
        assert_close(program.call(x), quick_jit(net.apply)(variables, x))
