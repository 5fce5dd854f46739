"""The settings that every experiment shares: default, help, range and choices in one place each."""

import dataclasses
import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

BOUNDS = {
    "minimum": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
    "below": ("below", operator.lt),
}


class ConfigError(ValueError):
    """A setting that cannot be used. `exit_code` asks the command line for one line and no more."""

    exit_code = 2


def option(
    default: Any, help: str, *, choices: Iterable[str] = (), volatile: bool = False, **bounds: float
) -> Any:
    """Declare a field of a Config.

    choices: the values a text may have. volatile: the field cannot change a result, so a run may be
    continued with another value of it. bounds: minimum, above, maximum, below, of a number or of
    each number of a tuple.
    """
    metadata = {"help": help, "choices": tuple(choices), "volatile": volatile, "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True, kw_only=True)
class Config:
    """Settings of a run; an experiment adds its own fields in a subclass.

    PRESETS: other defaults by the name of a preset.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    preset: str = option("", "other defaults, by name")
    seed: int = option(0, "of initialisation, data, dropout, sampling", minimum=0, below=2**32)
    dataset: str = option("", "name of the data; see the experiment's own help")
    data_dir: str = option("", "of prepared data; empty: TFDS_DATA_DIR or TFDS's", volatile=True)
    steps: int = option(1000, "optimizer steps in the whole run", minimum=1, below=2**31)
    batch_size: int = option(128, "examples in a step, over all devices", minimum=1)

    optimizer: str = option("adam", "", choices=("sgd", "momentum", "adam", "adamw"))
    learning_rate: float = option(1e-3, "its highest value", above=0)
    momentum: float = option(0.9, "of optimizer=momentum", minimum=0, below=1)
    beta2: float = option(0.999, "decay of the squared gradient, adam and adamw", above=0, below=1)
    weight_decay: float = option(0.0, "L2 on kernels (not biases); adamw: decoupled", minimum=0)
    clip_norm: float = option(0.0, "highest global norm of the gradient; 0: no clipping", minimum=0)
    warmup_steps: int = option(0, "steps of linear growth of the learning rate", minimum=0)
    schedule: str = option("cosine", "after warm-up", choices=("constant", "cosine", "step"))
    decay_start: int = option(0, "steps of schedule=step before it begins to fall", minimum=0)
    decay_every: int = option(1000, "steps between falls, schedule=step", minimum=1)
    decay_factor: float = option(
        0.01, "step: of each fall; cosine: the last rate over the first", minimum=0, maximum=1
    )

    averaging: float = option(
        0.0, "decay of the weights' running mean, which is what is evaluated", minimum=0, below=1
    )

    precision: str = option("float32", "of the products", choices=("float32", "bfloat16"))
    parallel: str = option("jit", "over devices: one program, or pmap", choices=("jit", "pmap"))
    distributed: bool = option(False, "meet other processes of this run first", volatile=True)
    replicas: int = option(1, "seeds in one program, each with a folder, from seed on", minimum=1)
    learning_rates: tuple[float, ...] = option((), "in that program, each with every seed", above=0)
    weight_decays: tuple[float, ...] = option((), "in that program, as well", minimum=0)

    log_every: int = option(50, "steps between lines of training metrics", minimum=1)
    eval_every: int = option(500, "steps between evaluations on the first held-out set", minimum=1)
    save_every: int = option(500, "steps between checkpoints", minimum=1, volatile=True)
    figures_at: tuple[float, ...] = option(
        (0.0, 0.5, 1.0), "fractions of the run at which figures are drawn", minimum=0, maximum=1
    )

    @property
    def replicated(self) -> bool:
        """True when several runs are asked for, or one beside others."""
        return self.replicas > 1 or bool(self.learning_rates or self.weight_decays)

    def check(self) -> None:
        """Raise ConfigError naming the first field whose type, range or choice is wrong."""
        if self.preset and self.preset not in self.PRESETS:
            listed = ", ".join(self.PRESETS) or "none here"
            raise ConfigError(
                f"config.preset must be one of {listed}, got {self.preset!r}"
                f"{hint(self.preset, self.PRESETS)}"
            )
        for field in dataclasses.fields(self):
            if fault := _fault(getattr(self, field.name), type(field.default), field.metadata):
                raise ConfigError(f"config.{field.name} must be {fault}")
        for name, values in (
            ("learning_rates", self.learning_rates),
            ("weight_decays", self.weight_decays),
        ):
            if len(set(values)) < len(values):
                raise ConfigError(f"config.{name} names a value twice, {values}")
        if self.replicated and self.distributed:
            raise ConfigError("config.replicas is of one process, not with config.distributed")


def changed(name: str, default: Any) -> Any:
    """Declare a field of Config anew in a subclass, with another default and all else as it was."""
    return dataclasses.field(default=default, metadata=Config.__dataclass_fields__[name].metadata)


def _fault(value: Any, wanted: type, meta: Mapping[str, Any]) -> str:
    """Say what `value` must be and is not; nothing when it is."""
    items = value if isinstance(value, tuple) else (value,)
    same = type(value) is wanted or (wanted is float and type(value) is int)
    if not same or (wanted is tuple and any(type(item) not in (int, float) for item in items)):
        kind = "tuple of numbers" if wanted is tuple else wanted.__name__
        return f"of type {kind}, got {value!r}"
    if meta["choices"] and value not in meta["choices"]:
        listed = ", ".join(meta["choices"])
        return f"one of {listed}, got {value!r}{hint(value, meta['choices'])}"
    for name, bound in meta["bounds"].items():
        words, holds = BOUNDS[name]
        if not all(holds(item, bound) for item in items):
            return f"{words} {bound}, got {value!r}"
    if wanted in (float, tuple) and not all(map(math.isfinite, items)):
        return f"finite, got {value!r}"
    if wanted is str and any(0xD800 <= ord(character) < 0xE000 for character in value):
        return f"valid Unicode, got {value!r}"
    return ""


def hint(name: str, names: Iterable[str]) -> str:
    """Text that names the nearest of `names`, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
