"""Optimizer and learning-rate schedule of an OptimizerConfig, by Optax."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .config import OptimizerConfig


def make_schedule(config: OptimizerConfig) -> optax.Schedule:
    """Return the learning rate as a function of the step: warm-up, then the chosen schedule."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        length = max(config.steps - warmup, 1)
        main = optax.cosine_decay_schedule(peak, length, alpha=config.decay_factor)
    elif config.schedule == "step":

        def main(step: jax.Array) -> jax.Array:
            # optax.exponential_decay does not decay at all when the factor is 0
            decays = jnp.maximum(step - config.decay_start, 0) // config.decay_every
            return peak * config.decay_factor**decays

    else:
        main = optax.constant_schedule(peak)
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """Return the config's optimizer; keyword arguments of `update` override its numeric settings.

    They may be traced: update(gradient, state, params, learning_rate=rate).
    """

    def update(gradient: Any, state: Any, params: Any = None, **settings: Any) -> tuple[Any, Any]:
        return make_chain(replace(config, **settings)).update(gradient, state, params)

    optimizer = optax.GradientTransformationExtraArgs(make_chain(config).init, update)
    if config.freeze:
        from .freezing import freezing

        optimizer = freezing(optimizer, config.freeze)
    return optimizer


def make_chain(config: OptimizerConfig) -> optax.GradientTransformation:
    """Clip by global norm, add L2 (only AdamW's after its scaling), scale by the schedule.

    Sources: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964
    (momentum); Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013 (Nesterov's); Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011
    (AdaGrad); Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012; Kingma and Ba, "Adam", 2015;
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019 (AdamW).
    """
    rate = make_schedule(config)
    l2 = optax.add_decayed_weights(
        config.weight_decay,
        lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),  # kernels, not biases
    )
    rules = {
        "sgd": [l2],
        "momentum": [l2, optax.trace(config.momentum)],
        "nesterov": [l2, optax.trace(config.momentum, nesterov=True)],
        "adagrad": [l2, optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-10)],
        "rmsprop": [l2, optax.scale_by_rms(config.rms_decay, eps_in_sqrt=False)],
        "adam": [l2, optax.scale_by_adam(b2=config.beta2)],
        "adamw": [optax.scale_by_adam(b2=config.beta2), l2],
    }
    # twice: frozen gradients do not count in the norm, and nothing decays frozen parameters
    freeze = []
    if config.freeze:
        from .freezing import frozen

        freeze = [frozen(config.freeze)]
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    average = []
    if config.ema_decay:
        from .averaging import average_params

        average = [average_params(config.ema_decay)]
    scale = optax.scale_by_learning_rate(rate)
    return optax.chain(*freeze, *clip, *rules[config.optimizer], scale, *freeze, *average)
