"""Seconds for an image: R-CNN, which convolves each window, and SPP-net, which convolves the image.

    taskset -c 0 python -m bench.windows
    taskset -c 0 python -m bench.windows --save=experiments/results/sppnet_speed.json

Both networks have the same backbone and head, with random weights. The times are those of the
default networks of experiments/rcnn.py and experiments/sppnet.py, without the search for windows,
and of an SPP-net at five scales. In the lecture's table, on a GPU with 2,000 windows, features are
computed 102 times (one scale) and 38 times (five scales) faster.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bench.tables import print_table
from bench.timing import in_turn, ratio
from experiments.image.backbones import make_backbone
from nets.image.detector import RCNN, SPPNet
from train.rundir import machine

COUNTS = (32, 128, 512, 2000)
SIDE, CLASSES, ROUNDS = 96, 10, 5
FIVE = (1.0, 1.2, 1.44, 1.73, 2.07)
LECTURE = {"SPP-net, 1 scale": 102, "SPP-net, 5 scales": 38}


def networks():
    """Networks by name."""
    backbone = make_backbone("convnet", "float32")
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


def measure(count: int) -> list[dict[str, object]]:
    """Seconds of each network for an image with `count` windows, and R-CNN's over them."""
    image = np.random.default_rng(1).random((1, SIDE, SIDE, 3), np.float32)
    windows = windows_of(count)
    runs = {}
    for name, model in networks().items():
        variables = jax.jit(model.init)(jax.random.key(0), image, windows)
        run = jax.jit(lambda v, i, w, model=model: model.apply(v, i, w)[:2])
        runs[name] = lambda run=run, v=variables: run(v, jnp.asarray(image), jnp.asarray(windows))
    seconds = in_turn(runs, ROUNDS)
    return [
        {
            "network": name,
            "windows": count,
            "seconds": round(statistics.median(times), 5),
            "times_faster": round(ratio(seconds["R-CNN"], times), 1),
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    """Print the table; with --save write it to a file as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, help="JSON file to write")
    save = parser.parse_args().save
    rows = [row for count in COUNTS for row in measure(count)]
    lecture = [
        {"network": name, "windows": 2000, "seconds": "-", "times_faster": f"{times} (lecture)"}
        for name, times in LECTURE.items()
    ]
    print_table([{key: str(value) for key, value in row.items()} for row in [*rows, *lecture]])
    if save:
        command = " ".join(["python -m bench.windows", *sys.argv[1:]])
        result = {"command": command, "lecture": LECTURE, "rows": rows, "machine": machine()}
        save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
