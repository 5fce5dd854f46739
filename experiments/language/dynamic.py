"""--mode=dynamic: dynamic evaluation, which trains the network on the text that it scores.

Each window is scored before the update on it, so no symbol affects its own prediction. Sources:
Mikolov et al. 2010 ("dynamic" models, plain gradients); Krause, Kahembwe, Murray and Renals 2018,
"Dynamic evaluation of neural sequence models" (gradients divided by their root mean square, decay
towards the trained weights). They take the mean square from the training text, and weights with
large gradients decay faster; here it is a running mean over the scored text, and all weights decay
alike.
"""

import copy
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from data.text.streams import EvaluationWindows
from experiments.language.calibration import Scores, held_out_ids, metrics_of, print_scores
from experiments.language.task import EVALUATION_WINDOW, NextSymbol
from train.config import ConfigError
from train.evaluate import Predictor
from train.placement import Placement, put
from train.state import TrainState
from train.step import MetricWindow
from train.task import Experiment
from train.trained import TrainedRun

REGULARISERS = (
    "dropout",
    "embedding_dropout",
    "word_dropout",
    "weight_drop",
    "activation_penalty",
    "change_penalty",
)


def dynamic_optimizer(decay: float) -> optax.GradientTransformationExtraArgs:
    """Optimizer w <- w - learning_rate g / sqrt(v + 1e-8) + decay (w_0 - w).

    v: bias-corrected running mean of g^2, with decay rate 0.999. w_0: the initial parameters.
    learning_rate: an argument of `update`.
    """
    scale = optax.scale_by_rms(0.999, bias_correction=True)

    def init(params):
        return scale.init(params), jax.tree.map(jnp.copy, params)

    def update(gradient, state, params, *, learning_rate):
        squares, trained = state
        scaled, squares = scale.update(gradient, squares)
        updates = jax.tree.map(
            lambda g, w, w_0: decay * (w_0 - w) - learning_rate * g, scaled, params, trained
        )
        return updates, (squares, trained)

    return optax.GradientTransformationExtraArgs(init, update)


class DynamicEvaluator:
    """The compiled training step, without regularisation and with the full softmax."""

    def __init__(self, task: NextSymbol, window: int, decay: float):
        unregularised: dict[str, Any] = dict.fromkeys(REGULARISERS, 0.0)
        softmax = "full" if task.model.softmax == "sampled" else task.model.softmax
        self.task = copy.copy(task)
        self.task.model = task.model.clone(**unregularised, softmax=softmax)
        self.window, self.optimizer = window, dynamic_optimizer(decay)
        self.devices = Placement(1, jax.devices()[:1])
        self.step = self.devices.compile(Experiment(self.task, self.optimizer, lambda *_: {}, {}))
        self.empty = jax.jit(partial(MetricWindow.empty, self.task))

    def __call__(
        self, variables, ids: np.ndarray, rate: float, description: str
    ) -> dict[str, float]:
        """Metrics of the symbols int32 [N] of a text except the first.

        The loss is infinite if training diverges to NaN. description: label of the progress bar.
        """
        windows = EvaluationWindows(ids, 1, min(self.window, len(ids) - 1))
        first = next(iter(windows))
        copied = jax.tree.map(jnp.copy, variables)  # the step donates its arguments
        carry = self.task.init_carry(first)
        state = TrainState.start(copied, self.optimizer, carry, jax.random.key(0))
        metrics = self.empty(variables, first)
        state, metrics = put((state, metrics), self.devices.everywhere)
        for batch in tqdm(windows, description, leave=False, unit="window", disable=None):
            placed = self.devices.put_batch(batch)
            state, metrics = self.step(state, metrics, placed, {"learning_rate": rate})
        nats = float(metrics.means["loss"].value)
        return metrics_of(self.task, math.inf if math.isnan(nats) else nats)


def measure(
    task: NextSymbol, predict: Predictor, texts: Mapping[str, np.ndarray]
) -> tuple[Scores, float]:
    """Metrics of each text, "static" and "dynamic", and the learning rate.

    texts: ids int32 [N] by name. The rate is the one of config.dynamic_rates with the lowest loss
    on the first text.
    """
    config = task.config
    scores: Scores = {}
    rates = [float(rate) for rate in config.dynamic_rates]
    if not rates:
        raise ConfigError("config.dynamic_rates needs at least one value")
    evaluate = DynamicEvaluator(task, config.dynamic_window, config.dynamic_decay)
    for name, ids in texts.items():
        windows = EvaluationWindows(ids, 1, EVALUATION_WINDOW)
        static = predict.evaluator(predict.variables, windows)
        by_rate = {
            rate: evaluate(predict.variables, ids, rate, f"{name}, rate {rate:g}") for rate in rates
        }
        rates = [min(by_rate, key=lambda rate: by_rate[rate]["loss"])]
        best = by_rate[rates[0]]
        scores[name] = {"static": {metric: static[metric] for metric in best}, "dynamic": best}
    return scores, rates[0]


def dynamic(run: TrainedRun) -> None:
    """Print held-out losses with and without dynamic evaluation."""
    config, task = run.config, run.task
    scores, rate = measure(task, run.predict, held_out_ids(run))
    print_scores(scores)
    print(
        f"dynamic: rate {rate:g}, chosen on the first text; decay {config.dynamic_decay:g} towards "
        f"the trained weights after every {config.dynamic_window} {task.unit}s"
    )
