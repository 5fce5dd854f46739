"""The command line of an experiment: absl flags in, one clear line out when something is wrong."""

import ctypes
import dataclasses
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
from absl import flags, logging
from ml_collections import config_flags

from .checkpoint import best_first, restore_first
from .config import Config, ConfigError, hint
from .distributed import connect
from .evaluate import Evaluator, Predictor
from .loop import STOP_SIGNALS, PreemptedError, fit, fit_all
from .placement import JitMesh
from .recorder import Run
from .replicas import MODES as REPLICAS
from .replicas import check_alike, devices_of_replicas, replica_configs, varied_settings
from .rundir import check_config, check_data, read_json, write_config, write_json
from .task import Experiment

AnyConfig = TypeVar("AnyConfig", bound=Config)
Mode = Callable[[Any, Predictor], None]


def run(
    config_class: type[AnyConfig],
    build: Callable[[AnyConfig], Experiment],
    modes: Mapping[str, Mode] | None = None,
) -> None:
    """Run an experiment from sys.argv and exit.

    modes: what else --mode= can do with a trained network: mode(task, predict), where the config is
    that of the run in workdir, in which only volatile fields may be overridden.

    Exits 0 when finished, 130 when a mode is interrupted, 141 when nobody reads the output any
    more. An exception is taken for the user's to mend, shown in one line and exited with, when it
    has an `exit_code`; any other is a defect and keeps its traceback.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _stop_before_training)
    try:
        _run(config_class, build, modes or {}, sys.argv)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line of what was being written
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still held
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)


def _stop_before_training(number, _frame) -> None:
    """End at once: there is nothing to save before `fit`, which has its own answer."""
    text = f"error: stopped by {signal.Signals(number).name}; the same command goes on\n"
    os.write(2, text.encode())
    os._exit(PreemptedError.exit_code)


def _run(config_class, build, modes: Mapping[str, Mode], argv: list[str]) -> None:
    if {"-h", "--help", "--helpfull", "--helpshort"} & set(argv):
        print(usage(config_class, modes))
        return
    config, workdir, mode = parse(config_class, ("train", *modes), argv)
    config.check()
    check_config(workdir, config)
    logging.set_verbosity(logging.ERROR)  # TFDS and Orbax warn of what is no fault here
    if config.distributed and mode == "train":
        connect()
    keep_freed_memory()
    _keep_compiled_programs()
    if mode == "train" and config.replicated:
        train_replicas(build, config, workdir)
    elif mode == "train":
        if not finished(workdir):
            fit(build(config), config, workdir)
            print(f"finished: {workdir}")
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # there is nothing to save
        experiment, predict = load_run(build, config, workdir)
        modes[mode](experiment.task, predict)


def finished(workdir: Path) -> bool:
    """Say whether a run is finished, in a line with its metrics when it is."""
    result = read_json(workdir / "result.json")
    if result:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items())
        print(f"{workdir} is finished at step {result['step']}: {shown}")
    return bool(result)


def train_replicas(build, config: Config, workdir: Path) -> None:
    """Train the runs that a config with replicas asks for, each in a folder below `workdir`.

    Those that are finished are left out.
    """
    configs = {workdir / name: each for name, each in replica_configs(config).items()}
    for folder, each in configs.items():
        each.check()
        check_config(folder, each)
    count = devices_of_replicas(len(configs))
    left = {folder: each for folder, each in configs.items() if not finished(folder)}
    runs = [Run(build(each), each, folder) for folder, each in left.items()]
    check_alike([run.experiment for run in runs])
    write_config(workdir, config)
    if runs:
        used = jax.devices()[: math.gcd(len(runs), count)]
        devices = REPLICAS[config.parallel](varied_settings([run.config for run in runs]), used)
        fit_all(runs, devices)
        print(f"finished: {len(runs)} runs in {workdir}")
    write_json(workdir / "result.json", {"replicas": [folder.name for folder in configs]})


def load_run(build, config: Config, workdir: Path) -> tuple[Experiment, Predictor]:
    """Return a run's experiment, and its network at the best checkpoint that can be read.

    Raises ConfigError when there is no checkpoint, or when the data are not those of the run.
    """
    folder = workdir / "checkpoints"
    steps = best_first(folder)
    if not steps:
        raise ConfigError(f"there is no checkpoint in {folder}: this mode needs a trained run")
    experiment = build(config)
    check_data(workdir, experiment.provenance)
    devices = JitMesh(1, jax.devices()[:1])
    state, window = devices.init(experiment, config.seed, experiment.train(0))
    warn = partial(print, "warning:", file=sys.stderr)
    state, _, _ = restore_first(folder, steps, state, window, warn)
    return experiment, Predictor(state.variables, Evaluator(experiment.task, devices))


def parse(
    config_class: type[AnyConfig], modes: tuple[str, ...], argv: list[str]
) -> tuple[AnyConfig, Path, str]:
    """Return (config, workdir, mode) from a command line; raises ConfigError with one clear line.

    In a mode other than training the config starts as that of the run in workdir.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", "", "folder of the run", flag_values=values)
    flags.DEFINE_enum("mode", "train", list(modes), "what to do", flag_values=values)
    flags.DEFINE_string("flagfile", "", "file of flags, one a line", flag_values=values)
    names = [field.name for field in dataclasses.fields(config_class)]
    try:
        argv = [argv[0], *values.read_flags_from_files(argv[1:], force_gnu=False)]
        for word in argv[1:]:  # the definition below answers an unknown field with a KeyError
            found = re.match(r"--?(?:no)?config\.([^=]*)", word)
            if found and found[1] not in names:
                raise ConfigError(f"there is no --config.{found[1]}{hint(found[1], names)}")
        holder = config_flags.DEFINE_config_dataclass(
            "config", config_class(), flag_values=values, sys_argv=argv
        )
        rest = values(argv)
    except (flags.Error, UnicodeDecodeError) as error:  # the last: in --flagfile
        raise ConfigError(str(error)) from error
    if rest[1:]:
        raise ConfigError(f"flags begin with --, got {rest[1]!r}")
    if not values.workdir:
        raise ConfigError("--workdir=DIR is needed: the folder of the run")
    config, workdir = holder.value, Path(values.workdir)
    overrides = config_flags.get_override_values(values["config"])
    preset = config.PRESETS.get(config.preset, {})
    for name in set(preset) - set(overrides):
        setattr(config, name, preset[name])
    if values.mode != "train" and (made_with := read_json(workdir / "config.json")):
        for name in (set(names) & set(made_with)) - set(overrides):
            value = made_with[name]  # JSON gives tuples back as lists
            setattr(config, name, tuple(value) if isinstance(value, list) else value)
    return config, workdir, values.mode


def usage(config_class: type[Config], modes: Mapping[str, Mode]) -> str:
    """Text of --help: the experiment's docstring, and every field with its default and its help."""
    lines = [
        (sys.modules[config_class.__module__].__doc__ or "").strip(),
        "\nflags:",
        "  --workdir=DIR               folder of the run: made, continued or finished",
        f"  --mode={'|'.join(('train', *modes))}",
    ]
    for field in dataclasses.fields(config_class):
        choices = config_class.PRESETS if field.name == "preset" else field.metadata["choices"]
        text = field.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
        lines.append(f"  {f'--config.{field.name}={field.default}':<36} {text.strip()}")
    return "\n".join(lines)


def keep_freed_memory() -> None:
    """Let the process keep the memory it frees, where the C library is glibc.

    Else the large buffers of a step are given back, mapped and cleared anew at each step, which
    took a quarter of the time of training `nmt` on a CPU. Sizes in bytes, numbers as in malloc.h.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8
        mallopt(arena_max, 1)
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def _keep_compiled_programs() -> None:
    """Let JAX keep compiled programs on disk, so that a resumed run starts in seconds."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unfold" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
