"""Find thresholds of nets/choices.py for this machine: `python -m bench.recurrent --tune`.

The thresholds are tuned one after the other. Each alternative is compared with the current value on
the layers whose programs it changes, in alternation and in one process. The fastest alternative
replaces the current value if these layers become faster by the factor GAIN, in the geometric mean.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn
from tqdm import tqdm

from bench.timing import Run, in_turn, ratio
from nets.choices import Choices
from nets.convolution.conv import convolve
from nets.recurrent.grid import MDRNN
from nets.recurrent.layers import RNN
from train.process import cache_folder

GAIN = 1.03  # smaller gains may be noise
OFF = 2**40  # no size reaches this
ALTERNATIVES = {
    "large_kernel": (2**16, 2**20, OFF),
    "most_rows": (0, 32, 128),
    "cached_products": (0, 2**20, 2**24),
    "band_channels": (0, 4, 32),
    "band_taps": (9,),
    "grid_rows": (16, 256, OFF),
}
CONVOLUTIONS = (  # batch, side, channels, features, side of the kernel
    (128, 32, 1, 6, 5),
    (128, 14, 6, 16, 5),
    (128, 28, 16, 16, 3),
    (128, 14, 32, 32, 3),
)

GRIDS = ((16, 28, 1, 32), (128, 28, 1, 32))  # batch, side, channels, features

Layers = Mapping[str, tuple[nn.Module, tuple[int, ...]]]
Program = tuple[str, str, Run]


def layers_of(cells: Mapping[str, Callable[[int], nn.Module]], shapes) -> Layers:
    """Return the layers that are timed, with the shapes of their inputs, by name."""
    layers: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    for name, cell in cells.items():
        for *shape, hidden in shapes:
            layers[f"{name} {*shape, hidden}"] = RNN(cell(hidden)), tuple(shape)
    for batch, side, channels, features, taps in CONVOLUTIONS:
        layer = nn.Conv(features, (taps, taps), conv_general_dilated=convolve)
        name = f"convolution {batch, side, channels, features, taps}"
        layers[name] = layer, (batch, side, side, channels)
    for batch, side, channels, features in GRIDS:
        name = f"grid {batch, side, channels, features}"
        layers[name] = MDRNN(features), (batch, side, side, channels)
    return layers


def programs(layers: Layers, choices: Choices) -> Iterator[Program]:
    """Yield, for each pass of each layer, its name, the text of its program, and a call of it."""
    for name, (layer, shape) in layers.items():
        x = jax.random.normal(jax.random.key(0), shape)
        variables = jax.jit(layer.init)(jax.random.key(1), x)

        def output(variables, x, layer=layer):
            return jax.tree.leaves(layer.apply(variables, x))[-1]

        def loss(variables, x, output=output):
            return jnp.sum(output(variables, x) ** 2)

        for kind, function in (("forward", output), ("gradient", jax.grad(loss, (0, 1)))):
            with mock.patch("nets.choices.chosen", return_value=choices):
                lowered = jax.jit(function).lower(variables, x)
            compiled = cache(lowered.compile)  # most programs are never called

            def run(compiled=compiled, variables=variables, x=x):
                return compiled()(variables, x)

            yield f"{name} {kind}", lowered.as_text(), run


def speed_up(now: Iterable[Program], other: Iterable[Program], rounds: int) -> float:
    """Geometric mean of time with `now` / time with `other` where programs differ, or else 1."""
    ratios = []
    for (name, text, run), (_, other_text, other_run) in zip(now, other, strict=True):
        if text != other_text:
            seconds = in_turn({"now": run, "other": other_run}, rounds)
            ratios.append(ratio(seconds["now"], seconds["other"]))
            tqdm.write(f"  {name}: {ratios[-1]:.2f}", file=sys.stderr)
    return statistics.geometric_mean(ratios) if ratios else 1.0


def tuned(layers: Layers, rounds: int) -> Choices:
    """Return the fastest thresholds on this machine, found one after the other."""
    best = Choices()
    for name, values in ALTERNATIVES.items():
        gains, now = {}, list(programs(layers, best))
        for value in values:
            tqdm.write(f"{name}={value}", file=sys.stderr)
            other = programs(layers, best._replace(**{name: value}))
            gains[value] = speed_up(now, other, rounds)
        value = max(gains, key=lambda each: gains[each])
        if gains[value] >= GAIN:
            best = best._replace(**{name: value})
    return best


def default_file() -> Path:
    """Return the path of the file of thresholds, in the folder of caches."""
    return (cache_folder() or Path(".cache")) / "unfold" / "choices.json"


def tune(layers: Layers, rounds: int, path: Path) -> None:
    """Write the fastest thresholds on this machine to a file, and print how to use the file."""
    best = tuned(layers, rounds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(best._asdict(), indent=1) + "\n", encoding="utf-8")
    changed = [
        f"{name} {default} > {value}"
        for (name, value), default in zip(best._asdict().items(), Choices(), strict=True)
        if value != default
    ]
    print(f"changed: {', '.join(changed) or 'nothing'}\nto use: export UNFOLD_CHOICES={path}")
