"""The random field on top of a segmentation: its settings, and --mode=iterations."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.output import picture_of, save_to
from experiments.image.segmentation import SHOWN, PixelScores, at_labels, picture
from nets.image.dense_crf import CRFasRNN, Kernels
from train.config import ConfigError, OptimizerConfig, option
from train.trained import TrainedRun

DRAWN = (0, 1, 2, 5)  # iterations in the picture, besides the last
SCORES = ("mean_iu", "pixel_accuracy", "edge_mean_iu", "edge_pixel_accuracy")


@dataclass(slots=True, kw_only=True)
class RandomFieldConfig(OptimizerConfig):
    """Settings of the random field; --mode=iterations tries other values without training."""

    crf: int = option(0, "mean-field iterations of the random field", note="0: none", minimum=0)
    crf_radius: int = option(
        7,
        "pixels that the random field reads on each side",
        note="0: the whole image",
        free_in_modes=True,
        minimum=0,
    )
    crf_spatial: float = option(
        1.0,
        "standard deviation of the random field's spatial kernel, in pixels",
        free_in_modes=True,
        above=0,
    )
    crf_position: float = option(
        20.0,
        "standard deviation of the random field's bilateral kernel in position, in pixels",
        free_in_modes=True,
        above=0,
    )
    crf_colour: float = option(
        0.1,
        "standard deviation of the random field's bilateral kernel in colour",
        note="colours are 0 .. 1",
        free_in_modes=True,
        above=0,
    )
    crf_weights: tuple[float, ...] = option(
        (1.0, 8.0),
        "initial weights of the random field's spatial and bilateral kernels",
        free_in_modes=True,
        minimum=0,
    )
    crf_damping: float = option(
        0.0,
        "fraction of the last iteration that the random field keeps",
        free_in_modes=True,
        minimum=0,
        below=1,
    )
    iterations: int = option(
        5, "mean-field iterations to score and draw", modes=("iterations",), minimum=1
    )


def random_field(config: RandomFieldConfig, iterations: int) -> CRFasRNN:
    """Make the random field of the settings; ConfigError when there are not two weights."""
    if len(config.crf_weights) != 2:
        raise ConfigError(f"config.crf_weights must be two numbers, got {config.crf_weights}")
    return CRFasRNN(
        Kernels(config.crf_spatial, config.crf_position, config.crf_colour),
        config.crf_weights,
        iterations,
        config.crf_damping,
        config.crf_radius or None,
    )


def field_answers(run: TrainedRun) -> Callable[[Any], jax.Array]:
    """Function from a batch to the classes after each iteration, [iterations + 1, B, H, W].

    A network that was trained without a random field gets one with its initial parameters.
    """
    config, task = run.config, run.task
    model = task.model.clone(crf=random_field(config, config.iterations))
    example = run.example["image"][:1]
    field = model.crf.init(jax.random.key(0), task.model.apply(run.variables, example), example)
    params = {"crf": field["params"], **run.variables["params"]}
    variables = {**run.variables, "params": params}

    @jax.jit
    def answers(batch) -> jax.Array:
        log_q = model.apply(variables, batch["image"], method="iterations")
        each = jnp.moveaxis(log_q, 1, 0)
        return jax.lax.map(lambda q: at_labels(q, batch["label"]).argmax(axis=-1), each)

    return answers


def iteration_scores(
    run: TrainedRun, answers: Callable[[Any], jax.Array], batches: Iterable[Any]
) -> list[dict[str, float]]:
    """Return the SCORES of a held-out set after each iteration; without edges, some are missing."""
    found = [PixelScores(run.task.classes) for _ in range(run.config.iterations + 1)]
    for batch in batches:
        real = batch["mask"] != 0
        for scores, answer in zip(found, np.asarray(answers(batch))[:, real], strict=True):
            scores.add(batch["label"][real], answer)
    every = [scores.values() for scores in found]
    return [{name: values[name] for name in SCORES if name in values} for values in every]


def drawn_answers(answers: np.ndarray) -> dict[str, np.ndarray]:
    """Answers by title, after those of 0, 1, .. iterations that are DRAWN, and after the last."""
    drawn = [i for i in range(len(answers)) if i in DRAWN or i == len(answers) - 1]
    return {f"{i} iteration" + "s" * (i != 1): answers[i] for i in drawn}


def iterations(run: TrainedRun) -> None:
    """Print the scores after each iteration on every held-out set, and draw those of test images.

    A network that was trained without a random field gets one with its initial parameters.
    """
    held_out, answers = run.all_held_out(), field_answers(run)
    own, output = "crf" in run.variables["params"], picture_of(run, "iterations")
    print("set", "iterations", *SCORES, sep="\t")
    for name, batches in held_out.items():
        for step, values in enumerate(iteration_scores(run, answers, batches)):
            cells = (f"{100 * value:.2f}" for value in values.values())
            print(name, step, *cells, sep="\t", flush=True)
    batch = next(iter(held_out["test"]))
    shown = np.flatnonzero(batch["mask"])[:SHOWN]
    said = np.asarray(answers(batch))[:, shown]
    columns = {"truth": batch["label"][shown]} | drawn_answers(said)
    path = save_to(output, picture(batch["image"][shown], columns, run.task.classes, inches=1.6))
    print(f"random field: {'that of the run' if own else 'untrained'}; picture: {path}")
