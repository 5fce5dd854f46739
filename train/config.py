"""Settings that every experiment shares, each declared once with its default, help and range."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from .validity import error, hint, range_of

GROUPS = ("data", "network", "optimizer", "run")  # in the order of --help
RESIDENT = ("auto", "always", "never")  # auto: if they fit, and the devices are not CPUs


class ConfigError(ValueError):
    """An invalid setting; its `exit_code` makes the command line print one line and exit."""

    exit_code = 2


def option(
    default: Any,
    help: str,
    *,
    note: str = "",
    group: str = "network",
    modes: Iterable[str] = (),
    choices: Iterable[str] = (),
    volatile: bool = False,
    free_in_modes: bool = False,
    output: bool = False,
    **bounds: float,
) -> Any:
    """Declare a field of a config class.

    help: the meaning, the same in every experiment that has a field of this name. note: details
    specific to this experiment. group: one of GROUPS, the section of --help. modes: the values of
    --mode= that read the field when training does not, which makes it volatile. choices: the valid
    values of a string. volatile: the field cannot change the result of training, so a run may be
    resumed with another value. free_in_modes: every mode other than training may use another value
    than training. output: the field is a path to write to, which modes take from the command line
    alone, never from a run directory. bounds: minimum, above, maximum, below; of a number, or of
    each number in a tuple.
    """
    modes = tuple(modes)
    metadata = {
        "help": help,
        "note": note,
        "group": group,
        "modes": modes,
        "choices": tuple(choices),
        "volatile": volatile or bool(modes),
        "free_in_modes": free_in_modes or volatile or bool(modes),
        "output": output,
        "bounds": bounds,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True, kw_only=True)
class RunConfig:
    """Settings of every run; an experiment adds its own fields in a subclass.

    PRESETS: other defaults, by the name of a preset. TINY: settings of a run that takes seconds, in
    addition to those of RunConfig; {data} is replaced by a folder of small files.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    TINY: ClassVar[Mapping[str, Any]] = {
        "steps": 2,
        "batch_size": 8,
        "log_every": 1,
        "figures_at": (1.0,),
    }

    dataset: str = option("", "name of the dataset", group="data")
    data_dir: str = option(
        "",
        "folder of prepared TFDS datasets",
        note="default: $TFDS_DATA_DIR, or the default of TFDS",
        group="data",
        volatile=True,
    )
    batch_size: int = option(
        128,
        "total batch size over all devices",
        note="in examples",
        group="data",
        free_in_modes=True,
        minimum=1,
    )
    preset: str = option("", "name of a set of defaults, listed below", group="run")
    seed: int = option(
        0,
        "seed of initialisation, data, dropout and sampling",
        group="run",
        free_in_modes=True,
        minimum=0,
        below=2**32,
    )
    steps: int = option(
        1000, "optimizer steps of the whole run", group="run", minimum=1, below=2**31
    )
    log_every: int = option(
        50, "steps between logged training metrics", group="run", volatile=True, minimum=1
    )
    eval_every: int = option(
        500, "steps between evaluations on the first held-out set", group="run", minimum=1
    )
    save_every: int = option(
        500, "steps between checkpoints", group="run", volatile=True, minimum=1
    )
    init_from: str = option(
        "",
        "trained network to start from",
        note="a run directory, a safetensors file or an Orbax checkpoint",
        group="run",
    )
    init_map: str = option(
        "",
        "rules OLD>NEW that rename paths of config.init_from, or skip them: OLD>-",
        note="separated by commas",
        group="run",
    )
    accumulate_steps: int = option(
        1,
        "parts of each batch whose gradients are added before an update",
        note="saves memory; batch normalisation uses the statistics of each part",
        group="run",
        minimum=1,
    )
    steps_per_call: int = option(
        0, "most steps in one call of the program; 0: by the device", group="run", minimum=0
    )
    resident: str = option(
        "auto", "when training data stay on the devices", group="run", choices=RESIDENT
    )
    patience: int = option(
        0,
        "evaluations without a lower held-out loss after which the run ends",
        note="on the first held-out set; 0: run to the last step",
        group="run",
        minimum=0,
    )
    track: str = option(
        "",
        "service that also receives the metrics",
        note="by its own library, an extra; empty: none",
        group="run",
        volatile=True,
        choices=("", "mlflow", "wandb"),
    )
    profile: str = option(
        "",
        "steps FIRST..LAST to trace with JAX's profiler, into WORKDIR/profile",
        group="run",
        volatile=True,
    )
    figures_at: tuple[float, ...] = option(
        (0.0, 0.5, 1.0),
        "fractions of the run to draw figures at",
        group="run",
        volatile=True,
        minimum=0,
        maximum=1,
    )
    stop_seconds: int = option(
        300,
        "seconds after a stop signal until the process ends even if nothing is saved; 0: never",
        group="run",
        volatile=True,
        minimum=0,
    )
    precision: str = option(
        "float32", "dtype of matrix products", group="run", choices=("float32", "bfloat16")
    )
    format: str = option(
        "safetensors",
        "file format to write",
        group="run",
        modes=("export",),
        choices=("safetensors", "stablehlo"),
    )
    parallel: str = option(
        "jit", "data parallelism: jit over a mesh, or pmap", group="run", choices=("jit", "pmap")
    )
    distributed: bool = option(
        False, "train with several processes", note="see docs/gpu.md", group="run", volatile=True
    )
    replicas: int = option(
        1, "consecutive seeds to train in one program, one folder each", group="run", minimum=1
    )

    def replica_axes(self) -> dict[str, tuple[float, ...]]:
        """Return the values of each setting, other than the seed, that varies between the runs."""
        return {}

    @property
    def replicated(self) -> bool:
        """True when one program trains several runs."""
        return self.replicas > 1 or any(self.replica_axes().values())

    def check(self) -> None:
        """Raise ConfigError naming the first field with a wrong type, range or choice."""
        if self.preset and self.preset not in self.PRESETS:
            listed = f"one of {', '.join(self.PRESETS)}" if self.PRESETS else "empty (no presets)"
            raise ConfigError(
                f"config.preset must be {listed}, got {self.preset!r}"
                f"{hint(self.preset, self.PRESETS)}"
            )
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if problem := error(value, kind, field.metadata):
                raise ConfigError(f"config.{field.name} must be {problem}")
        for name, values in self.replica_axes().items():
            if len(set(values)) < len(values):
                raise ConfigError(f"config.{name}s has a repeated value: {values}")
        for name, value in (("distributed", self.distributed), ("patience", self.patience)):
            if self.replicated and value:
                raise ConfigError(f"config.replicas cannot be combined with config.{name}")
        self.profiled_steps()

    def check_training(self) -> None:
        """Raise ConfigError when training with these settings makes no sense; modes accept them."""

    def profiled_steps(self) -> range:
        """Return the steps to profile; raises ConfigError when they cannot be read."""
        if (steps := range_of(self.profile)) is None:
            raise ConfigError(
                f"config.profile must be FIRST..LAST, two steps from 1 on, got {self.profile!r}"
            )
        return steps

    @classmethod
    def changed(cls, name: str, default: Any, note: str | None = None) -> Any:
        """Redeclare a field of this class in a subclass, with another default or note.

        Help, group, choices and range are inherited.
        """
        metadata = dict(cls.__dataclass_fields__[name].metadata)
        if note is not None:
            metadata["note"] = note
        return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(slots=True, kw_only=True)
class OptimizerConfig(RunConfig):
    """Settings of a run whose optimizer is chosen on the command line: train/optimizer.py."""

    optimizer: str = option(
        "adam",
        "optimizer",
        group="optimizer",
        choices=("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"),
    )
    learning_rate: float = option(1e-3, "peak learning rate", group="optimizer", above=0)
    momentum: float = option(
        0.9,
        "momentum coefficient",
        note="only with optimizer=momentum or nesterov",
        group="optimizer",
        minimum=0,
        below=1,
    )
    rms_decay: float = option(
        0.9,
        "decay rate of RMSProp's mean of squared gradients",
        note="only with optimizer=rmsprop",
        group="optimizer",
        above=0,
        below=1,
    )
    beta2: float = option(
        0.999,
        "decay rate of Adam's second-moment estimate",
        note="only with optimizer=adam or adamw",
        group="optimizer",
        above=0,
        below=1,
    )
    weight_decay: float = option(
        0.0,
        "weight decay, applied to kernels but not to biases",
        note="decoupled with optimizer=adamw, otherwise L2",
        group="optimizer",
        minimum=0,
    )
    clip_norm: float = option(
        0.0,
        "maximum global norm of the gradient",
        note="0: no clipping",
        group="optimizer",
        minimum=0,
    )
    warmup_steps: int = option(
        0, "steps of linear learning-rate warm-up", group="optimizer", minimum=0
    )
    schedule: str = option(
        "cosine",
        "learning-rate schedule after the warm-up",
        group="optimizer",
        choices=("constant", "cosine", "step"),
    )
    decay_start: int = option(
        0,
        "step at which the first decay interval begins",
        note="counted from the end of the warm-up; only with schedule=step",
        group="optimizer",
        minimum=0,
    )
    decay_every: int = option(
        1000, "steps between decays", note="only with schedule=step", group="optimizer", minimum=1
    )
    decay_factor: float = option(
        0.01,
        "learning-rate decay factor",
        note="schedule=cosine: final rate / peak rate; schedule=step: factor of each decay",
        group="optimizer",
        minimum=0,
        maximum=1,
    )
    freeze: str = option(
        "",
        "parameters that are not trained, by path or pattern",
        note="separated by commas, such as encoder,*/bias",
        group="optimizer",
    )
    ema_decay: float = option(
        0.0,
        "decay rate of the moving average of the weights that is used for evaluation",
        note="0: no averaging",
        group="optimizer",
        minimum=0,
        below=1,
    )
    learning_rates: tuple[float, ...] = option(
        (), "learning rates to train in one program, each with every seed", group="run", above=0
    )
    weight_decays: tuple[float, ...] = option(
        (), "weight decays to train in one program, each with every seed", group="run", minimum=0
    )

    def check_training(self) -> None:
        """Raise ConfigError also when the warm-up never ends, unless its length is a default."""
        default = self.__dataclass_fields__["warmup_steps"].default
        preset = self.PRESETS.get(self.preset, {}).get("warmup_steps")
        if self.warmup_steps > self.steps and self.warmup_steps not in (default, preset):
            raise ConfigError(f"config.warmup_steps must be at most config.steps, {self.steps}")

    def replica_axes(self) -> dict[str, tuple[float, ...]]:
        """Return the values of each setting, other than the seed, that varies between the runs."""
        return {"learning_rate": self.learning_rates, "weight_decay": self.weight_decays}
