"""Settings of all tests: four CPU devices, one compilation cache, one folder of prepared data."""

import gc
import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SLOWEST = (  # files that take 20 processor-seconds or more
    "test_experiments",
    "test_readme",
    "test_sweeps",
    "test_resume",
    "test_sweep_kills",
    "test_joint_runs",
    "test_divided_layers",
    "test_replicas",
    "test_surface",
    "test_flax_tools",
    "test_loop",
    "test_grid",
    "test_cli",
    "test_bptt",
    "test_recurrent_lm",
    "test_cells",
    "test_beam",
    "test_site",
)

OPTIONS = {
    "xla_force_host_platform_device_count": 4,
    # four devices on fewer cores would otherwise wait for one another too long
    "xla_cpu_collective_call_terminate_timeout_seconds": 600,
    "xla_cpu_multi_thread_eigen": False,  # waiting devices may occupy all of its threads
    # most programs of the tests run once: compile time is what counts
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
ASK = """
import json, sys
import jax

known = {}
for name, value in json.loads(sys.argv[1]).items():
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        known[name] = True
    except jax.errors.JaxRuntimeError:
        known[name] = False
print(json.dumps(known))
"""


def known_options():
    """Return the entries of OPTIONS that the installed XLA has, asking once per jaxlib version.

    An unknown name in XLA_FLAGS would end every process; in the options of a compilation it raises.
    """
    answers = ROOT / ".cache" / "xla_options" / f"{version('jaxlib')}.json"
    known = json.loads(answers.read_text()) if answers.is_file() else {}
    if known.keys() != OPTIONS.keys():
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps(OPTIONS)],
            env={**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        )
        known = json.loads(done.stdout)
        answers.parent.mkdir(parents=True, exist_ok=True)
        partial = answers.with_suffix(f".{os.getpid()}")
        partial.write_text(done.stdout)
        partial.replace(answers)
    return {name: value for name, value in OPTIONS.items() if known[name]}


# tests send these to themselves; nohup or a shell in the background lets processes ignore them
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(200_000, 50, 1000)  # most objects of the tests live long
# many processes are started: each module is compiled to bytecode once
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# before JAX is imported
os.environ["XLA_FLAGS"] = " ".join(
    f"--{name}={str(value).lower()}" for name, value in known_options().items()
)
os.environ["JAX_CPU_ENABLE_ASYNC_DISPATCH"] = "0"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_TRACEBACK_FILTERING"] = "off"  # filtering takes 35 ms per exception that is tested
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["XDG_CACHE_HOME"] = str(ROOT / ".cache")
os.environ["TFDS_DATA_DIR"] = str(ROOT / ".cache" / "tfds")


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=2, help="kills in runs/test_resume.py")
    parser.addoption("--soak", action="store_true", help="twelve runs of a sweep that is killed")


def pytest_collection_modifyitems(items):
    """Run the slowest files first, so that no core is idle at the end."""
    rank = {name: i for i, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(autouse=True, scope="module")
def freeze_earlier_objects():
    """Exclude the objects of earlier modules from garbage collection, which each restore runs."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """Path of a small real text, a module of the standard library.

    The folder `rated` beside it holds lines of the text in two classes.
    """
    path = tmp_path_factory.mktemp("text") / "argparse.txt"
    text = Path(os.__file__).with_name("argparse.py").read_text(encoding="utf-8")
    path.write_text(text)
    lines = [line.strip() for line in text.splitlines() if len(line.split()) > 3][:200]
    (path.parent / "rated").mkdir()
    for name in ("plain", "call"):
        chosen = [line for line in lines if ("(" in line) == (name == "call")]
        (path.parent / "rated" / f"code.{name}").write_text("\n".join(chosen))
    return path


@pytest.fixture
def one_device():
    """Environment variables of a process with one device."""
    flags = os.environ["XLA_FLAGS"].replace("device_count=4", "device_count=1")
    return {**os.environ, "XLA_FLAGS": flags}


@pytest.fixture
def command(one_device):
    """Return a function that runs `python -m MODULE ...` or `python FILE ...` on one device."""

    def run(*words, environment=None):
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=ROOT,
            env=environment or one_device,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
