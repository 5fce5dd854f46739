"""--mode=bound of the perceptron: updates on points of several margins, beside their bound."""

import jax
import jax.numpy as jnp
import numpy as np

from data.epochs import epoch_order
from data.tabular.two_classes import points_with_margin
from experiments.common.output import picture_of, save_to
from experiments.feedforward.margin import updates_bound, widest_separator
from experiments.feedforward.perceptron_pictures import bound_picture
from nets.feedforward.perceptron import present
from train.trained import TrainedRun

MARGINS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # of the points from the line that separates them
SEEDS = 20

present_all = jax.jit(jax.vmap(present, in_axes=(0, 0, 0, None)))


def bound(run: TrainedRun) -> None:
    """Print and draw the updates of perceptrons on points of several margins, beside the bound."""
    config, output = run.config, picture_of(run, "bound")
    print(f"{'margin':>8}{'updates':>10}{'most':>8}{'bound':>10}{'largest updates / bound':>26}")
    rows = []
    for margin in MARGINS:
        seeds = range(config.seed, config.seed + SEEDS)
        sets = [points_with_margin(config.points, margin, seed) for seed in seeds]
        phi = np.stack([np.pad(each.x, [(0, 0), (0, 1)], constant_values=1) for each in sets])
        t = np.stack([each.t for each in sets])
        separators = [widest_separator(*pair) for pair in zip(phi, t, strict=True)]
        found = [separator.margin for separator in separators if separator]  # each set has one
        bounds = [updates_bound(*pair) for pair in zip(phi, found, strict=True)]
        updates = updates_until_solved(phi, t, list(seeds), config.learning_rate)
        rows.append(np.stack([found, updates, bounds]))
        print(
            f"{np.mean(found):>8.3f}{updates.mean():>10.1f}{updates.max():>8.0f}"
            f"{np.mean(bounds):>10.0f}{(updates / bounds).max():>26.3f}"
        )
    path = save_to(output, bound_picture(*np.concatenate(rows, axis=1)))
    print(f"{SEEDS} seeds each, mean margin, mean and most updates, mean bound: {path}")


def updates_until_solved(
    phi: np.ndarray, t: np.ndarray, seeds: list[int], rate: float
) -> np.ndarray:
    """Updates [S] of runs on separable phi [S, N, M], t [S, N], shuffled, until no mistake."""
    count, updates = t.shape[1], np.zeros(len(seeds))
    weights, epoch = jnp.zeros((len(seeds), phi.shape[2])), 0
    while True:
        orders = np.stack([epoch_order(seed, epoch, count) for seed in seeds])
        after, mistakes = present_all(
            weights,
            np.take_along_axis(phi, orders[..., None], axis=1),
            np.take_along_axis(t, orders, axis=1),
            rate,
        )
        made = np.asarray(mistakes).sum(axis=1)
        if not made.any():
            return updates
        updates, weights, epoch = updates + made, after[:, -1], epoch + 1
