"""--mode=dynamic: the network goes on learning from the text that it is scored on.

Every window is scored before it is learned from, so no symbol helps to predict itself. Sources:
Mikolov et al. 2010 ("dynamic" models, by plain gradients); Krause, Kahembwe, Murray and Renals
2018, "Dynamic evaluation of neural sequence models" (gradients divided by their root mean square,
weights drawn back to where they were). Here the mean square is that of the text so far.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from data.lanes import EvaluationWindows
from experiments._language import EVALUATION_WINDOW, NextSymbol
from train.config import ConfigError
from train.evaluate import Predictor
from train.parallel import JitMesh
from train.state import TrainState
from train.step import Window
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
    """Optimizer w <- w - learning_rate g / sqrt(mean of g^2 so far) + return_rate (w_0 - w).

    w_0: the parameters it is initialised with. learning_rate: an argument of its update.
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

    def __call__(self, variables, ids: np.ndarray, rate: float, about: str) -> float:
        """Mean nats of the symbols int32 [N] of a text but the first; infinite instead of NaN.

        about: what the bar of progress is of.
        """
        windows = EvaluationWindows(ids, 1, self.window)
        first = next(iter(windows))
        params = jax.tree.map(jnp.copy, variables["params"])  # the step takes what it is given
        state = TrainState(
            jnp.int32(0),
            params,
            self.optimizer.init(params),
            {name: tree for name, tree in variables.items() if name != "params"},
            self.task.init_carry(first),
            jax.random.key(0),
        )
        seen = jax.jit(lambda: Window.empty(self.task, variables, first))()
        count = math.ceil((len(ids) - 1) / self.window)
        bar = tqdm(windows, about, count, leave=False, unit="window", disable=None)
        for batch in bar:
            placed = self.devices.put_batch([batch])
            state, seen = self.step(state, seen, placed, {"learning_rate": rate})
        nats = float(seen.means["loss"].value)
        return math.inf if math.isnan(nats) else nats


def measure(task: NextSymbol, predict: Predictor) -> dict[str, dict[str, float]]:
    """Nats of each held-out text: {text: {"static": nats, "dynamic": nats, "rate": chosen}}.

    The rate is that of config.dynamic_rates which is best on the first of the texts.
    """
    config, found = task.config, {}
    rates: Sequence[float] = config.dynamic_rates
    if not rates:
        raise ConfigError("config.dynamic_rates needs a value or more")
    evaluate = DynamicEvaluator(task, config.dynamic_window, config.dynamic_return)
    for name, text in task.texts.items():
        ids = task.vocabulary.encode(text)
        windows = EvaluationWindows(ids, 1, EVALUATION_WINDOW)
        static = predict.evaluator(predict.variables, windows)["loss"]
        tried = {
            rate: evaluate(predict.variables, ids, rate, f"{name}, rate {rate:g}") for rate in rates
        }
        rates = [min(tried, key=lambda rate: tried[rate])]
        found[name] = {"static": static, "dynamic": tried[rates[0]], "rate": rates[0]}
    return found


def dynamic(task: NextSymbol, predict: Predictor) -> None:
    """Print the loss of each held-out text, without and with learning from it."""
    config, found = task.config, measure(task, predict)
    for name, values in found.items():
        for kind in ("static", "dynamic"):
            nats = values[kind]
            metrics = {"loss": nats, **task.summaries({"loss": nats})}
            shown = "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
            print(f"{name:<12}{kind:<9}{shown}")
    print(
        f"dynamic: rate {values['rate']:g}, {config.dynamic_return:g} of the way back after every "
        f"{config.dynamic_window} {task.unit}s"
    )
