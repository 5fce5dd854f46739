"""--mode=dynamic: the network goes on learning from the text that it is scored on.

Every window is scored before it is learned from, so no symbol helps to predict itself. Sources:
Mikolov et al. 2010 ("dynamic" models, by plain gradients); Krause, Kahembwe, Murray and Renals
2018, "Dynamic evaluation of neural sequence models" (gradients divided by their root mean square,
weights drawn back to where they were). Theirs is the mean square of the training text, and weights
of large gradients are drawn back faster; here it is a running mean over the text that is read, and
all weights are drawn back alike.
"""

import copy
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from data.text.streams import EvaluationWindows
from experiments.language.calibration import Found, metrics_of, print_found
from experiments.language.task import EVALUATION_WINDOW, NextSymbol
from train.config import ConfigError
from train.evaluate import Predictor
from train.placement import JitMesh, put
from train.state import TrainState
from train.step import MetricWindow
from train.task import Experiment

REGULARISERS = (
    "dropout",
    "embedding_dropout",
    "word_dropout",
    "weight_drop",
    "activation_penalty",
    "change_penalty",
)


def follow(return_rate: float) -> optax.GradientTransformationExtraArgs:
    """Optimizer w <- w - learning_rate g / sqrt(v + 1e-8) + return_rate (w_0 - w).

    v: running mean of g^2, decay 0.999, without bias. w_0: the parameters it is initialised with.
    learning_rate: an argument of its update.
    """
    scale = optax.scale_by_rms(0.999, bias_correction=True)

    def init(params):
        return scale.init(params), jax.tree.map(jnp.copy, params)

    def update(gradient, state, params, *, learning_rate):
        squares, start = state
        scaled, squares = scale.update(gradient, squares)
        updates = jax.tree.map(
            lambda g, w, w_0: return_rate * (w_0 - w) - learning_rate * g, scaled, params, start
        )
        return updates, (squares, start)

    return optax.GradientTransformationExtraArgs(init, update)


class DynamicEvaluator:
    """The compiled training step, without dropout and by the full softmax."""

    def __init__(self, task: NextSymbol, window: int, return_rate: float):
        plain: dict[str, Any] = dict.fromkeys(REGULARISERS, 0.0)
        softmax = "full" if task.model.softmax == "sampled" else task.model.softmax
        self.task = copy.copy(task)
        self.task.model = task.model.clone(**plain, softmax=softmax)
        self.window, self.optimizer = window, follow(return_rate)
        self.devices = JitMesh(1, jax.devices()[:1])
        self.step = self.devices.compile(Experiment(self.task, self.optimizer, lambda _: {}, {}))
        self.empty = jax.jit(partial(MetricWindow.empty, self.task))

    def __call__(self, variables, ids: np.ndarray, rate: float, about: str) -> dict[str, float]:
        """Mean loss in nats and what follows from it, of symbols int32 [N] but the first.

        about: what the bar of progress is of. Infinite where it is not finite any more.
        """
        windows = EvaluationWindows(ids, 1, min(self.window, len(ids) - 1))
        first = next(iter(windows))
        own = jax.tree.map(jnp.copy, variables)  # the step takes what it is given
        params = own.pop("params")
        carry, key = self.task.init_carry(first), jax.random.key(0)
        opt_state = self.optimizer.init(params)
        state = TrainState(jnp.int32(0), params, opt_state, own, carry, key)
        seen = self.empty(variables, first)
        state, seen = put((state, seen), self.devices.everywhere)
        for batch in tqdm(windows, about, leave=False, unit="window", disable=None):
            placed = self.devices.put_batch([batch])
            state, seen = self.step(state, seen, placed, {"learning_rate": rate})
        nats = float(seen.means["loss"].value)
        return metrics_of(self.task, math.inf if math.isnan(nats) else nats)


def measure(task: NextSymbol, predict: Predictor) -> tuple[Found, float]:
    """Metrics of each held-out text, "static" and "dynamic", and the rate of the latter.

    The rate is that of config.dynamic_rates which is best on the first of the texts.
    """
    config = task.config
    found: Found = {}
    rates = [float(rate) for rate in config.dynamic_rates]
    if not rates:
        raise ConfigError("config.dynamic_rates needs a value or more")
    evaluate = DynamicEvaluator(task, config.dynamic_window, config.dynamic_decay)
    for name, text in task.texts.items():
        ids = task.vocabulary.encode(text)
        whole = predict.evaluator(predict.variables, EvaluationWindows(ids, 1, EVALUATION_WINDOW))
        tried = {
            rate: evaluate(predict.variables, ids, rate, f"{name}, rate {rate:g}") for rate in rates
        }
        rates = [min(tried, key=lambda rate: tried[rate]["loss"])]
        learned = tried[rates[0]]
        found[name] = {"static": {metric: whole[metric] for metric in learned}, "dynamic": learned}
    return found, rates[0]


def dynamic(task: NextSymbol, predict: Predictor) -> None:
    """Print the loss of each held-out text, without and with learning from it."""
    config = task.config
    found, rate = measure(task, predict)
    print_found(found)
    print(
        f"dynamic: rate {rate:g}, chosen on the first text; {config.dynamic_decay:g} of the way "
        f"back after every {config.dynamic_window} {task.unit}s"
    )
