"""The command line of an experiment: absl flags in, one clear line out when something is wrong."""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
from absl import flags, logging
from ml_collections import config_flags

from train.config import Config, ConfigError, hint
from train.evaluate import Predictor
from train.loop import PreemptedError, fit
from train.restore import load_predictor
from train.rundir import check_workdir, read_config, read_result
from train.task import Experiment

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

    Exits 0 when finished, 2 after wrong flags, config or data, 3 when training went non-finite,
    75 when stopped and saved. An exception is taken for the user's to mend, and shown in one line,
    when it has an `exit_code`; any other is a defect and keeps its traceback.
    """
    before = signal.signal(signal.SIGTERM, _stop_before_training)
    try:
        _run(config_class, build, modes or {}, sys.argv)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop_before_training(number, _frame) -> None:
    """Answer SIGTERM where there is nothing to save; `fit` has its own answer."""
    raise PreemptedError(f"stopped by {signal.Signals(number).name}; the same command goes on")


def _run(config_class, build, modes: Mapping[str, Mode], argv: list[str]) -> None:
    if any(word in ("-h", "--help", "--helpfull", "--helpshort") for word in argv):
        print(usage(config_class, modes))
        return
    config, workdir, mode = parse(config_class, ("train", *modes), argv)
    config.check()
    check_workdir(workdir, config)
    if mode == "train" and (result := read_result(workdir)):
        shown = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items())
        print(f"{workdir} is finished at step {result['step']}: {shown}")
        return
    if mode != "train" and not (workdir / "checkpoints").is_dir():
        raise ConfigError(
            f"--mode={mode} needs a trained run in --workdir, found none in {workdir}"
        )
    logging.set_verbosity(logging.ERROR)  # TFDS and Orbax warn of what is no fault here
    _keep_compiled_programs()
    experiment = build(config)
    if mode == "train":
        fit(experiment, config, workdir)
        print(f"finished: {workdir}")
    else:
        modes[mode](experiment.task, load_predictor(experiment, config, workdir))


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
    for word in argv[1:]:  # before the definition, which reads sys.argv and knows no such error
        if word.startswith("--config."):
            name = word.removeprefix("--config.").split("=")[0]
            if name not in names:
                raise ConfigError(f"there is no --config.{name}{hint(name, names)}")
    holder = config_flags.DEFINE_config_dataclass("config", config_class(), flag_values=values)
    try:
        rest = values(argv)
    except flags.Error as error:
        raise ConfigError(str(error)) from error
    if rest[1:]:
        raise ConfigError(f"flags begin with --, got {rest[1]!r}")
    if not values.workdir:
        raise ConfigError("--workdir=DIR is needed: the folder of the run")
    config, workdir = holder.value, Path(values.workdir)
    if values.mode != "train" and (made_with := read_config(workdir)):
        overrides = config_flags.get_override_values(values["config"])
        config = config_class(**{k: _plain(v) for k, v in made_with.items() if k in names})
        for name in overrides:
            setattr(config, name, getattr(holder.value, name))
    return config, workdir, values.mode


def _plain(value: Any) -> Any:
    """JSON gives tuples back as lists."""
    return tuple(value) if isinstance(value, list) else value


def usage(config_class: type[Config], modes: Mapping[str, Mode]) -> str:
    """Text of --help: the experiment's docstring, and every field with its default and its help."""
    lines = [(sys.modules[config_class.__module__].__doc__ or "").strip(), "", "flags:"]
    lines.append("  --workdir=DIR               folder of the run: made, continued or finished")
    lines.append(f"  --mode={'|'.join(('train', *modes))}")
    for field in dataclasses.fields(config_class):
        choices = field.metadata["choices"]
        text = field.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
        lines.append(f"  {f'--config.{field.name}={field.default}':<36} {text.strip()}")
    return "\n".join(lines)


def _keep_compiled_programs() -> None:
    """Let JAX keep compiled programs on disk, so that a resumed run starts in seconds."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unfold" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
