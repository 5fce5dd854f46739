"""--mode=calibrate: all logits divided by one temperature, chosen on the validation text.

A network that was trained for long is surer than it is right; where it stands first, and what it
draws at temperature 0, stays as it was. Source: Guo, Pleiss, Sun and Weinberger 2017, "On
Calibration of Modern Neural Networks" (temperature scaling).
"""

import copy

import jax
import optax

from data.text.streams import EvaluationWindows
from experiments.language.task import EVALUATION_WINDOW, NextSymbol
from train.evaluate import Evaluator, Predictor
from train.placement import JitMesh
from train.task import Mean

TEMPERATURES = {f"{number / 20:g}": number / 20 for number in range(16, 33)}  # 0.8 to 1.6

Found = dict[str, dict[str, dict[str, float]]]  # metrics of a text by the way it is scored


def metrics_of(task: NextSymbol, nats: float) -> dict[str, float]:
    """Loss of a text and what follows from it."""
    return {"loss": nats, **task.summaries({"loss": nats})}


def tempered(task: NextSymbol) -> NextSymbol:
    """Return the task with one loss more for each of TEMPERATURES, by its name."""

    def means(outputs, batch):
        return {
            name: Mean.from_values(
                optax.softmax_cross_entropy_with_integer_labels(outputs / t, batch["targets"]),
                batch["mask"],
            )
            for name, t in {"loss": 1.0, **TEMPERATURES}.items()
        }

    other = copy.copy(task)
    other.means = means  # type: ignore[method-assign]
    return other


def measure(task: NextSymbol, predict: Predictor) -> tuple[Found, float]:
    """Metrics of each held-out text, "static" and "calibrated", and the temperature of the latter.

    It is that of TEMPERATURES which is best on the first of the texts.
    """
    evaluate = Evaluator(tempered(task), JitMesh(1, jax.devices()[:1]))
    found: Found = {}
    best = ""
    for name, text in task.texts.items():
        ids = task.vocabulary.encode(text)
        nats = evaluate(predict.variables, EvaluationWindows(ids, 1, EVALUATION_WINDOW))
        best = best or min(TEMPERATURES, key=lambda t: nats[t])
        losses = {"static": nats["loss"], "calibrated": nats[best]}
        found[name] = {kind: metrics_of(task, loss) for kind, loss in losses.items()}
    return found, TEMPERATURES[best]


def print_found(found: Found) -> None:
    """Print a line for each text and way."""
    for name, kinds in found.items():
        for kind, metrics in kinds.items():
            shown = "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
            print(f"{name:<12}{kind:<12}{shown}")


def calibrate(task: NextSymbol, predict: Predictor) -> None:
    """Print the loss of each held-out text, without and with the temperature."""
    found, temperature = measure(task, predict)
    print_found(found)
    print(f"calibrated: temperature {temperature:g}, chosen on the first text")
