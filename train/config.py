"""The settings that every experiment shares: default, help, range and choices in one place each."""

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A setting that cannot be used. `exit_code` asks the command line for one line and no more."""

    exit_code = 2


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    choices: Iterable[str] = (),
    volatile: bool = False,
) -> Any:
    """Declare a field of a Config.

    minimum, above, maximum, below: bounds of a number, or of each number of a tuple. choices: the
    values a text may have. volatile: the field cannot change a result, so a run may be continued
    with another value of it.
    """
    limits = {"minimum": minimum, "above": above, "maximum": maximum, "below": below}
    metadata = {"help": help, "choices": tuple(choices), "volatile": volatile, **limits}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True, kw_only=True)
class Config:
    """Settings of a run; an experiment adds its own fields in a subclass."""

    seed: int = option(
        0, "of initialisation, data order, dropout and sampling", minimum=0, below=2**32
    )
    dataset: str = option("", "name of the data; see the experiment's own help")
    data_dir: str = option(
        "", "folder of prepared datasets; empty: TFDS_DATA_DIR or TFDS's own default", volatile=True
    )
    steps: int = option(1000, "optimizer steps in the whole run", minimum=1, below=2**31)
    batch_size: int = option(128, "examples in a step, over all devices", minimum=1)

    optimizer: str = option("adam", "", choices=("sgd", "momentum", "adam", "adamw"))
    learning_rate: float = option(1e-3, "its highest value", above=0)
    momentum: float = option(0.9, "of optimizer=momentum", minimum=0, below=1)
    beta2: float = option(0.999, "decay of the squared gradient, adam and adamw", above=0, below=1)
    weight_decay: float = option(0.0, "L2 on kernels (not biases); adamw: decoupled", minimum=0)
    clip_norm: float = option(0.0, "highest global norm of the gradient; 0: no clipping", minimum=0)
    warmup_steps: int = option(0, "steps of linear growth of the learning rate", minimum=0)
    schedule: str = option(
        "constant", "of the learning rate after warm-up", choices=("constant", "cosine", "step")
    )
    decay_every: int = option(1000, "steps between falls, schedule=step", minimum=1)
    decay_factor: float = option(
        0.1,
        "step: the factor of each fall; cosine: the last rate over the first",
        minimum=0,
        maximum=1,
    )

    precision: str = option("float32", "of the products", choices=("float32", "bfloat16"))
    parallel: str = option("jit", "over devices: one program, or pmap", choices=("jit", "pmap"))

    log_every: int = option(50, "steps between lines of training metrics", minimum=1)
    eval_every: int = option(500, "steps between evaluations on the first held-out set", minimum=1)
    save_every: int = option(
        500, "steps between checkpoints; one more after every evaluation", minimum=1, volatile=True
    )
    figures_at: tuple[float, ...] = option(
        (0.0, 0.5, 1.0), "fractions of the run at which figures are drawn", minimum=0, maximum=1
    )

    def check(self) -> None:
        """Raise ConfigError naming the first field whose type, range or choice is wrong."""
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))


def _check_field(field: dataclasses.Field, value: Any) -> None:
    """Raise ConfigError when `value` is not one that the field allows."""
    meta = field.metadata
    wanted = type(field.default)
    items = value if isinstance(value, tuple) else (value,)
    same = type(value) is wanted or (wanted is float and type(value) is int)
    if not same or (wanted is tuple and any(type(item) not in (int, float) for item in items)):
        kind = "tuple of numbers" if wanted is tuple else wanted.__name__
        raise ConfigError(f"config.{field.name} must be of type {kind}, got {value!r}")
    if meta["choices"] and value not in meta["choices"]:
        listed = ", ".join(meta["choices"])
        meant = hint(value, meta["choices"])
        raise ConfigError(f"config.{field.name} must be one of {listed}, got {value!r}{meant}")
    bounds = (
        ("at least", meta["minimum"], lambda item, bound: item >= bound),
        ("above", meta["above"], lambda item, bound: item > bound),
        ("at most", meta["maximum"], lambda item, bound: item <= bound),
        ("below", meta["below"], lambda item, bound: item < bound),
    )
    for words, bound, holds in bounds:
        if bound is not None and not all(holds(item, bound) for item in items):
            raise ConfigError(f"config.{field.name} must be {words} {bound}, got {value!r}")
    if wanted is float and not math.isfinite(value):
        raise ConfigError(f"config.{field.name} must be finite, got {value!r}")
    if wanted is str and any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise ConfigError(f"config.{field.name} must be valid Unicode, got {value!r}")


def hint(name: str, names: Iterable[str]) -> str:
    """Text that names the nearest of `names`, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
