"""--mode=calibrate: divide all logits by one temperature, chosen on the validation text.

After long training a network is overconfident. A temperature corrects this; it changes neither the
order of the symbols nor the text sampled at temperature 0. Source: Guo, Pleiss, Sun and Weinberger
2017, "On Calibration of Modern Neural Networks" (temperature scaling).
"""

from collections.abc import Mapping

import jax
import numpy as np
import optax

from data.text.streams import EvaluationWindows
from experiments.language.task import EVALUATION_WINDOW, NextSymbol
from train.evaluate import Evaluator, Predictor
from train.placement import Placement
from train.task import Mean
from train.trained import TrainedRun

TEMPERATURES = {f"{number / 20:g}": number / 20 for number in range(16, 33)}  # 0.8 to 1.6

Scores = dict[str, dict[str, dict[str, float]]]  # text -> kind of scoring -> metrics


def metrics_of(task: NextSymbol, nats: float) -> dict[str, float]:
    """Loss of a text, and the metrics that follow from it."""
    return {"loss": nats, **task.summaries({"loss": nats})}


def tempered_means(outputs, batch) -> dict[str, Mean]:
    """Loss of a batch, and its loss at each of TEMPERATURES."""
    return {
        name: Mean.from_values(
            optax.softmax_cross_entropy_with_integer_labels(outputs / t, batch["targets"]),
            batch["mask"],
        )
        for name, t in {"loss": 1.0, **TEMPERATURES}.items()
    }


def measure(
    task: NextSymbol, predict: Predictor, texts: Mapping[str, np.ndarray]
) -> tuple[Scores, float]:
    """Metrics of each text, "static" and "calibrated", and the temperature.

    texts: ids int32 [N] by name. The temperature is the one of TEMPERATURES with the lowest loss on
    the first text.
    """
    evaluate = Evaluator(task, Placement(1, jax.devices()[:1]), tempered_means)
    scores: Scores = {}
    best = ""
    for name, ids in texts.items():
        nats = evaluate(predict.variables, EvaluationWindows(ids, 1, EVALUATION_WINDOW))
        best = best or min(TEMPERATURES, key=lambda t: nats[t])
        losses = {"static": nats["loss"], "calibrated": nats[best]}
        scores[name] = {kind: metrics_of(task, loss) for kind, loss in losses.items()}
    return scores, TEMPERATURES[best]


def held_out_ids(run: TrainedRun) -> dict[str, np.ndarray]:
    """Ids int [N] of each held-out text of a run."""
    return {name: windows.ids for name, windows in run.all_held_out().items()}


def print_scores(scores: Scores) -> None:
    """Print one line for each text and kind of scoring."""
    for name, kinds in scores.items():
        for kind, metrics in kinds.items():
            values = "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
            print(f"{name:<12}{kind:<12}{values}")


def calibrate(run: TrainedRun) -> None:
    """Print held-out losses before and after temperature scaling."""
    scores, temperature = measure(run.task, run.predict, held_out_ids(run))
    print_scores(scores)
    print(f"calibrated: temperature {temperature:g}, chosen on the first text")
