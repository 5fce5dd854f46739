"""Parameters that are not trained cost no backward pass and do not count in the gradient."""

import flax.linen as nn
import jax
import numpy as np
import optax

from tests.train.conftest import Regression, batch_at
from train.optimizer import make_optimizer
from train.placement import Placement
from train.task import Experiment


class TwoLayers(nn.Module):
    """A wide layer below a narrow one."""

    @nn.compact
    def __call__(self, x, carry, *, train: bool = False):
        return nn.Dense(2, name="above")(nn.relu(nn.Dense(64, name="below")(x))), carry


def one_step(small_config, **settings):
    """State before and after a step, its norm of the gradient, and the operations it takes."""
    config = small_config(optimizer="sgd", learning_rate=0.1, **settings)
    task = Regression()
    task.model = TwoLayers()
    experiment = Experiment(task, make_optimizer(config), batch_at, {})
    devices, batch = Placement(8, jax.devices()[:1]), batch_at(0, 8)
    state, window = devices.init(experiment, 0, batch)
    before = jax.tree.map(np.asarray, state.params)
    program = devices.compile(experiment).lower(state, window, batch).compile()
    after, window = program(state, window, batch)
    norm = float(window.means["grad_norm"].value)
    return before, after.params, norm, program.cost_analysis()["flops"]


def test_a_frozen_layer_costs_no_backward_pass(small_config):
    _, free, _, whole = one_step(small_config)
    before, held, norm, operations = one_step(small_config, freeze="below/*")
    jax.tree.map(np.testing.assert_array_equal, held["below"], before["below"])
    jax.tree.map(np.testing.assert_allclose, held["above"], free["above"])
    change = jax.tree.map(lambda a, b: (b - a) / 0.1, held["above"], before["above"])
    np.testing.assert_allclose(norm, optax.tree.norm(change), rtol=1e-4)
    width, rows, inputs, outputs = 64, 8, batch_at(0, 8)["x"].shape[1], 2
    # the gradients of the kernel below and of the layer between are not computed
    assert operations <= whole - 2 * rows * width * (inputs + outputs)
