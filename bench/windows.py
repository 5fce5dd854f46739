"""Seconds for an image: R-CNN, which convolves each window, and SPP-net, which convolves the image.

    taskset -c 0 python -m bench.windows
    taskset -c 0 python -m bench.windows --save=bench/windows.md

Both networks have the same backbone and head, with random weights. The times are those of the
default networks of experiments/rcnn.py and experiments/sppnet.py, and of SPP-nets at one and five
scales, without the search for windows. The features are what the dense layers read: their time is
that of the same network with a dense layer of one unit. The dense layers take as long in both
networks, so they limit the ratio of the whole. In the lecture's table, on a GPU with 2,000 windows,
features are computed 102 times (one scale) and 38 times (five scales) faster.
"""

import statistics
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bench.tables import arguments, publish
from bench.timing import Run, in_turn, ratio
from experiments.image.backbones import make_backbone
from nets.image.detector import RCNN, SPPNet

COUNTS = (32, 128, 512, 2000)
SIDE, CLASSES = 96, 10
FIVE = (1.0, 1.2, 1.44, 1.73, 2.07)
FEATURES = ", features"
LECTURE = {"SPP-net, 1 scale": "102", "SPP-net, 5 scales": "38"}


def networks():
    """Networks by name."""
    backbone = make_backbone("convnet", "float32", stride=8)
    return {
        "R-CNN": RCNN(backbone, CLASSES),
        "SPP-net, 1 scale": SPPNet(backbone, CLASSES, levels=(4, 2, 1)),
        "SPP-net, 2 times the size": SPPNet(backbone, CLASSES, levels=(4, 2, 1), scales=(2.0,)),
        "SPP-net, 5 scales": SPPNet(backbone, CLASSES, levels=(4, 2, 1), scales=FIVE),
    }


def windows_of(count: int) -> np.ndarray:
    """Random windows float32 [1, count, 4] of 12 to 48 pixels."""
    rng = np.random.default_rng(0)
    sides = rng.uniform(12, 48, (count, 2))
    low = rng.uniform(0, SIDE - sides)
    return np.concatenate([low, low + sides], axis=1).astype(np.float32)[None]


def measure(count: int, rounds: int) -> list[dict[str, str]]:
    """Seconds of each network for an image with `count` windows, and R-CNN's over them."""
    image = np.random.default_rng(1).random((1, SIDE, SIDE, 3), np.float32)
    inputs = jnp.asarray(image), jnp.asarray(windows_of(count))
    runs: dict[str, Run] = {}
    for name, model in networks().items():
        for part, timed in (("", model), (FEATURES, model.clone(hidden=1))):
            variables = jax.jit(timed.init)(jax.random.key(0), *inputs)
            # without the last hidden layer, which is for other classifiers
            scores = jax.jit(lambda v, i, w, model=timed: model.apply(v, i, w)[:2])
            runs[name + part] = partial(scores, variables, *inputs)
    seconds = in_turn(runs, rounds)
    rows = []
    for name in networks():
        row = {"windows": str(count), "network": name}
        for part in ("", FEATURES):
            times = seconds[name + part]
            row |= {
                f"seconds{part}": f"{statistics.median(times):.4f}",
                f"times faster{part}": f"{ratio(seconds['R-CNN' + part], times):.1f}",
            }
        rows.append(row | {"lecture, 2,000 windows": LECTURE.get(name, "-")})
    return rows


def main() -> None:
    """Print the table; with --save write it to a file as well."""
    given = arguments(__doc__).parse_args()
    rows = [row for count in COUNTS for row in measure(count, given.rounds)]
    publish("windows", "Detectors: seconds for an image", [rows], given.save)


if __name__ == "__main__":
    main()
