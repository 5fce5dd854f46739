"""Pretraining in stages: which layers change, by how much, and at which learning rate."""

import jax
import numpy as np
import pytest

from experiments import autoencoder
from experiments.feedforward.stages import WEIGHT_DECAY
from train.config import ConfigError
from train.state import init_state, stream
from train.step import MetricWindow, make_train_step

STEPS = 3  # of each stage
CONFIG = {
    "activation": "sigmoid",
    "widths": (6,),
    "code": 2,
    "batch_size": 8,
    "pretrain_steps": STEPS,
    "steps": 8,
}


def test_each_layer_changes_in_its_stage_and_then_all_do():
    config = autoencoder.Config(**CONFIG)
    config.check()
    experiment = autoencoder.build(config)
    batch = experiment.train(0)
    state = init_state(experiment, 0, batch)
    window = MetricWindow.empty(experiment.task, state.variables, batch)
    step = jax.jit(make_train_step(experiment))
    model, first = experiment.task.model, state.params
    for number in range(config.steps):
        batch = experiment.train(number)
        before = state
        state, window = step(state, window, batch)
        changed = {
            name
            for name, layer in state.params.items()
            if any(np.any(layer[key] != before.params[name][key]) for key in layer)
        }
        stage = number // STEPS
        assert changed == ({f"layer_{stage}"} if stage < 2 else {"layer_0", "layer_1"})
        assert (batch["stage"] == min(stage, 2)).all()
        transposed = [
            np.allclose(layer["kernel"].T, layer["decoder_kernel"])
            for layer in state.params.values()
        ]
        assert all(transposed) == (stage < 2)
        if number == 0:
            after_first = state.params["layer_0"]["kernel"]
    assert int(window.bad_step) == -1

    def loss(params):
        return model.apply(
            {"params": params},
            experiment.train(0)["image"],
            0,
            rngs={"dropout": stream(state.key, "dropout", 0)},
            method="contrastive_divergence",
        )[0].mean()

    kernel = first["layer_0"]["kernel"]
    gradient = jax.grad(loss)(first)["layer_0"]["kernel"] + WEIGHT_DECAY * kernel
    np.testing.assert_allclose(after_first, kernel - 0.1 * gradient, rtol=1e-4, atol=1e-7)
    rates = [float(experiment.schedule(number)) for number in range(7)]
    np.testing.assert_allclose(rates, [0.1] * 3 + [0.001] * 3 + [1e-3], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "relu"}, "activation=sigmoid"),
        ({"architecture": "convolutional"}, "architecture=dense"),
        ({"code_activation": "relu"}, "code_activation"),
        ({"steps": 6}, "leaves none of the 6 steps"),
        ({"ema_decay": 0.9}, "ema_decay"),
        ({"freeze": "layer_0"}, "freeze"),
        (
            {"architecture": "convolutional", "pretrain_steps": 0, "tie_weights": True},
            "tie_weights",
        ),
        ({"sparsity_penalty": 0.1}, "code_activation=sigmoid"),
    ],
)
def test_pretraining_that_does_not_fit_the_network_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        autoencoder.Config(**{**CONFIG, **changes}).check()
