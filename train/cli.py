"""Command line of an experiment: absl flags, and one clear line for each user error."""

import contextlib
import dataclasses
import os
import pkgutil
import re
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from absl import flags, logging
from ml_collections import config_flags

from .config import ConfigError, RunConfig
from .files import DISK_EXIT_CODE, disk_problem
from .help import FLAGS as HELP
from .loop import fit
from .process import (
    keep_compiled_programs,
    keep_freed_memory,
    open_standard_streams,
    silence_disk_errors,
)
from .rundir import check_config, experiment_of, finished, restore_config
from .signals import PreemptedError, heeded_signals
from .task import Build, MakeTask
from .validity import hint

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)
# modes of every experiment
TRAINED_MODES = {"export": "train.export:export"}  # of a trained run
PLANNED_MODES = {"summary": "train.inspect:summary", "check": "train.inspect:check"}
NOT_A_NUMBER = {  # what Python says of a flag, and what it means
    "invalid literal for int() with base 10:": "must be a whole number, got",
    "could not convert string to float:": "must be a number, got",
}


def run(
    config_class: type[RunConfig],
    build: Build,
    make_task: MakeTask,
    modes: Mapping[str, str] | None = None,
) -> None:
    """Run an experiment from sys.argv and exit.

    build(config) -> Experiment reads the data. make_task(config, assets) -> Task makes the task of
    a trained network from the assets of its run. modes: values of --mode= for a trained network,
    each with the name "package.module:function" of a function(run: TrainedRun), which is imported
    only when that mode runs. In a mode the config is that of the run in workdir; only settings that
    the trained network does not depend on may be overridden. The modes FOLDER_MODES of the package
    of the experiment are functions(workdir: Path), for which no network is loaded.

    Exits with 0 when finished, 130 when a mode is interrupted, 141 when its output is closed, 74
    when the disk is full or fails. An exception with `exit_code` is a user error: one line, that
    exit code. Any other exception is a defect and keeps its traceback.
    """
    open_standard_streams()
    for number in heeded_signals():
        signal.signal(number, _stop_before_training)
    try:
        _run(config_class, build, make_task, modes or {}, sys.argv)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the current line
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None and (problem := disk_problem(error)):
            _end_without_disk(problem)
        if code is None:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)


def _end_without_disk(problem: str) -> NoReturn:
    """Print one line and exit at once: writers in the background would repeat the error at length.

    Standard output may itself be a file on the full disk.
    """
    text = f"error: {problem}; once this is fixed, the same command continues\n"
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))
    os._exit(DISK_EXIT_CODE)


def run_folder(workdir: Path) -> None:
    """Call `run` for the experiment that a run directory names; the arguments are in sys.argv."""
    try:
        module = experiment_of(workdir)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    run(module.Config, module.build, module.make_task, getattr(module, "MODES", {}))


def _stop_before_training(number: int, _frame: FrameType | None) -> None:
    """Exit immediately: there is nothing to save before `fit`, which has its own handlers."""
    text = f"error: stopped by {signal.Signals(number).name}; run the same command to continue\n"
    os.write(2, text.encode())
    os._exit(PreemptedError.exit_code)


def _run(
    config_class: type[RunConfig],
    build: Build,
    make_task: MakeTask,
    modes: Mapping[str, str],
    argv: list[str],
) -> None:
    package = sys.modules.get(sys.modules[config_class.__module__].__package__ or "")
    folder_modes: Mapping[str, str] = getattr(package, "FOLDER_MODES", {})
    modes = {**modes, **folder_modes, **TRAINED_MODES}
    if HELP & set(argv):
        from .usage import usage

        print(usage(config_class, {**modes, **PLANNED_MODES}))
        return
    config, workdir, mode = parse(config_class, ("train", *modes, *PLANNED_MODES), argv)
    config.check()
    if mode == "train" or mode in PLANNED_MODES:
        config.check_training()
    if mode != "train":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # there is nothing to save
    if mode in PLANNED_MODES:
        pkgutil.resolve_name(_here(PLANNED_MODES[mode]))(build, config)
        return
    check_config(workdir, config, training=mode == "train")
    if mode in folder_modes:
        pkgutil.resolve_name(folder_modes[mode])(workdir)
        return
    logging.set_verbosity(logging.FATAL)  # TFDS and Orbax log what they also raise
    silence_disk_errors()
    if config.distributed and mode == "train":
        from .distributed import connect

        connect()
    keep_freed_memory()
    keep_compiled_programs()
    if mode == "train" and config.replicated:
        from .replicas import train_replicas

        train_replicas(build, config, workdir)
    elif mode == "train":
        if not finished(workdir, config.steps):
            fit(build(config), config, workdir)
            print(f"finished: {workdir}")
    else:
        from .trained import load_run

        pkgutil.resolve_name(_here(modes[mode]))(load_run(build, make_task, config, workdir))


def _here(name: str) -> str:
    """Name of an object of this package, wherever the package is installed."""
    return name.replace("train.", f"{__package__}.", 1) if name.startswith("train.") else name


def parse(
    config_class: type[AnyConfig], modes: Iterable[str], argv: list[str]
) -> tuple[AnyConfig, Path, str]:
    """Return (config, workdir, mode) of a command line; ConfigError when it is invalid.

    In a mode other than training, the defaults are the settings of the run in workdir.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", "", "run directory", flag_values=values)
    flags.DEFINE_string("mode", "train", "what to do", flag_values=values)
    flags.DEFINE_string("flagfile", "", "file of flags, one per line", flag_values=values)
    names = [field.name for field in dataclasses.fields(config_class)]
    try:
        argv = [argv[0], *values.read_flags_from_files(argv[1:], force_gnu=False)]
        for word in argv[1:]:  # ml_collections raises a KeyError for an unknown field
            match = re.match(r"--?(?:no)?config\.([^=]*)", word)
            if match and match[1] not in names:
                raise ConfigError(f"there is no --config.{match[1]}{hint(match[1], names)}")
        holder = config_flags.DEFINE_config_dataclass(
            "config", config_class(), flag_values=values, sys_argv=argv
        )
        rest = values(argv)
    except flags.UnrecognizedFlagError as error:
        near = f" (did you mean --config.{error.flagname}?)" if error.flagname in names else ""
        raise ConfigError(f"{error}{near}") from error
    except (flags.Error, UnicodeDecodeError) as error:  # the latter from --flagfile
        text = str(error)
        for jargon, plain in NOT_A_NUMBER.items():
            text = text.replace(jargon, plain)
        raise ConfigError(text) from error
    if rest[1:]:
        raise ConfigError(f"flags start with --, got {rest[1]!r}")
    if values.mode not in (known := list(modes)):
        near = hint(values.mode, known)
        raise ConfigError(f"--mode must be one of {', '.join(known)}, got {values.mode!r}{near}")
    if not values.workdir and values.mode not in PLANNED_MODES:
        raise ConfigError("--workdir=DIR is required: the run directory")
    config, workdir = holder.value, Path(os.path.expanduser(values.workdir))
    overrides = config_flags.get_override_values(values["config"])
    preset = config.PRESETS.get(config.preset, {})
    for name in set(preset) - set(overrides):
        setattr(config, name, preset[name])
    if values.mode != "train":
        restore_config(config, workdir, overrides)
    return config, workdir, values.mode
