"""Optimizers and schedules against their formulas in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train.config import OptimizerConfig
from train.optimizer import make_optimizer, make_schedule
from train.state import TrainState

PARAMS = {"kernel": np.array([[1.0, -2.0]], np.float32), "bias": np.array([0.5], np.float32)}
GRADIENTS = [
    {"kernel": np.array([[0.3, 0.4]], np.float32), "bias": np.array([-0.2], np.float32)},
    {"kernel": np.array([[-0.4, 0.2]], np.float32), "bias": np.array([0.6], np.float32)},
]


def updated(config):
    """Parameters after the two gradients."""
    optimizer = make_optimizer(config)
    params, state = PARAMS, optimizer.init(PARAMS)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
    return params


def by_hand(config):
    """The same in numpy, parameter by parameter."""
    result = {}
    for name, value in PARAMS.items():
        p = value.astype(np.float64)
        m, v = np.zeros_like(p), np.zeros_like(p)
        l2 = config.weight_decay if name == "kernel" else 0.0
        for t, gradients in enumerate(GRADIENTS, start=1):
            g = gradients[name].astype(np.float64)
            if config.clip_norm:
                norm = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in gradients.values()))
                g = g * min(1.0, config.clip_norm / norm)
            if config.optimizer != "adamw":
                g = g + l2 * p
            if config.optimizer == "sgd":
                step = g
            elif config.optimizer == "momentum":
                m = config.momentum * m + g
                step = m
            elif config.optimizer == "nesterov":  # the gradient is that after the next move
                m = config.momentum * m + g
                step = config.momentum * m + g
            elif config.optimizer == "adagrad":
                v = v + g * g
                step = g / np.sqrt(v)
            elif config.optimizer == "rmsprop":
                v = config.rms_decay * v + (1 - config.rms_decay) * g * g
                step = g / np.sqrt(v)
            else:
                m = 0.9 * m + 0.1 * g
                v = config.beta2 * v + (1 - config.beta2) * g * g
                step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - config.beta2**t)) + 1e-8)
            if config.optimizer == "adamw":
                step = step + l2 * p
            p = p - config.learning_rate * step
        result[name] = p
    return result


OPTIMIZERS = OptimizerConfig.__dataclass_fields__["optimizer"].metadata["choices"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [0.0, 0.25])
def test_two_updates_are_those_of_the_formula(optimizer, clip_norm):
    config = OptimizerConfig(
        optimizer=optimizer,
        learning_rate=0.1,
        weight_decay=0.05,
        momentum=0.8,
        rms_decay=0.7,
        beta2=0.95,
        clip_norm=clip_norm,
    )
    found, expected = updated(config), by_hand(config)
    for name in PARAMS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_nesterov_equals_the_gradient_at_the_point_where_momentum_leads():
    # Sutskever et al. 2013: v <- mu v - rate f'(p + mu v), p <- p + v, on f(p) = sum c p^2 / 2;
    # the optimizer holds p + mu v
    curvature, rate, mu = np.array([[1.0, 8.0]]), 0.05, 0.9
    config = OptimizerConfig(
        optimizer="nesterov", learning_rate=rate, momentum=mu, schedule="constant"
    )
    optimizer = make_optimizer(config)
    point = {"kernel": jnp.array([[1.0, -2.0]])}
    state, p, v = optimizer.init(point), np.array([[1.0, -2.0]]), np.zeros((1, 2))
    for _ in range(6):
        updates, state = optimizer.update({"kernel": curvature * point["kernel"]}, state, point)
        point = optax.apply_updates(point, updates)
        v = mu * v - rate * curvature * (p + mu * v)
        p = p + v
        np.testing.assert_allclose(point["kernel"], p + mu * v, rtol=1e-4, atol=1e-6)


def test_weight_decay_leaves_biases_alone():
    with_decay = updated(OptimizerConfig(optimizer="sgd", weight_decay=0.5))
    without = updated(OptimizerConfig(optimizer="sgd"))
    np.testing.assert_array_equal(with_decay["bias"], without["bias"])
    assert np.abs(with_decay["kernel"] - without["kernel"]).max() > 1e-4


def test_evaluation_uses_the_moving_average_of_the_weights():
    optimizer = make_optimizer(OptimizerConfig(optimizer="sgd", learning_rate=0.1, ema_decay=0.5))
    params, opt_state, mean = PARAMS, optimizer.init(PARAMS), PARAMS
    for t in range(1, 13):  # the rate is 9 / (9 + t) up to t = 9, then 1 - 0.5
        updates, opt_state = optimizer.update(GRADIENTS[t % 2], opt_state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
        rate = max(0.5, 9 / (9 + t))
        mean = jax.tree.map(lambda m, p, rate=rate: m + rate * (p - m), mean, params)
    state = TrainState(jnp.int32(12), params, opt_state, {}, (), jax.random.key(0))
    for name in PARAMS:
        np.testing.assert_allclose(state.variables["params"][name], mean[name], rtol=1e-6)
        assert np.abs(mean[name] - params[name]).max() > 1e-3
    plain = optax.sgd(0.1).init(PARAMS)
    assert state.replace(opt_state=plain).variables["params"] is params


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "constant"}, {0: 2.0, 99: 2.0}),
        ({"schedule": "constant", "warmup_steps": 10}, {0: 0.0, 5: 1.0, 10: 2.0, 50: 2.0}),
        ({"schedule": "step", "decay_every": 20, "decay_factor": 0.5}, {19: 2.0, 20: 1.0, 45: 0.5}),
        ({"schedule": "step", "decay_every": 20, "decay_factor": 0.0}, {19: 2.0, 20: 0.0, 45: 0.0}),
        (
            {"schedule": "step", "decay_start": 30, "decay_every": 20, "decay_factor": 0.5},
            {49: 2.0, 50: 1.0, 69: 1.0, 70: 0.5},
        ),
        (
            {"schedule": "cosine", "decay_factor": 0.1, "warmup_steps": 20},
            {10: 1.0, 20: 2.0, 60: 2.0 * 0.55, 100: 0.2},
        ),
    ],
)
def test_schedules(changes, expected):
    schedule = make_schedule(OptimizerConfig(steps=100, learning_rate=2.0, **changes))
    for step, rate in expected.items():
        np.testing.assert_allclose(float(schedule(jnp.int32(step))), rate, rtol=1e-5, atol=1e-7)
