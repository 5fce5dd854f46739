"""The structure of the project: imports between packages and rooms, and the length of files."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.closure import closure, imported, lines_loaded, module_of, neighbours

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "nets": set(),
    "train": set(),
    "data": set(),
    "experiments": {"nets", "train", "data"},
    "jobs": set(),
    "launch.py": {"jobs"},
}
# the rooms that a room may import; it may also import the files at the top of its package, and the
# experiments, at the top of experiments/, may import every room
ARROWS = {
    "nets": {
        "": set(),
        "convolution": set(),
        "feedforward": set(),
        "recurrent": set(),
        "decoding": set(),
        "image": {"convolution"},
        "language": {"recurrent"},
        "sentence": {"convolution", "recurrent"},
        "translation": {"recurrent"},
        "ctc": {"convolution", "decoding", "recurrent"},
        "interpret": {"recurrent"},
    },
    "data": {
        "": {"builtin", "forms"},
        "builtin": {"forms"},
        "forms": set(),
        "tabular": {"builtin", "forms"},
        "images": {"builtin", "forms", "tabular", "text"},
        "text": {"forms"},
        "series": {"forms", "tabular"},
        "pairs": {"forms", "text"},
        "sentences": {"builtin", "forms", "text"},
        "sound": {"forms", "series"},
        "lines": {"forms", "images", "series", "sound"},
    },
    "experiments": {
        "common": set(),
        "feedforward": {"common"},
        "report": set(),
        "image": {"common"},
        "language": {"common"},
        "sentence": {"common"},
        "signal": {"common"},
        "translation": {"common"},
    },
}
FLAT = {"nets": 4, "data": 3}  # maximum modules at the top of a package, without `__init__`
LAUNCHER_IMPORTS = sys.stdlib_module_names | {"absl", "tqdm", "yaml", "jobs", "optuna"}
LINES_LOADED = {"lenet5": 5330, "char_lm": 6090, "nmt": 6570, "word2vec": 5180, "speech_ctc": 6830}


def sources(folder):
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.glob("**/*.py"))


def packages(path):
    """Top-level packages and modules that a file imports."""
    return {name.split(".")[0] for name in imported(path, deferred=True)}


def room_of(path):
    """Room of a file: the folder below its package, "" at the top."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) > 2 else ""


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_layers_do_not_import_one_another(folder):
    layers = {"nets", "train", "data", "experiments", "jobs", "launch", "tests", "bench"}
    for path in sources(folder):
        own = {folder.removesuffix(".py")}
        assert packages(path) & layers <= MAY_IMPORT[folder] | own, path


@pytest.mark.parametrize("package", ["nets", "train", "data"])
def test_imports_within_a_package_of_the_wheel_are_relative(package):
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module.split(".")[0] != package, path
            elif isinstance(node, ast.Import):
                assert package not in {name.name.split(".")[0] for name in node.names}, path


@pytest.mark.parametrize("package", ARROWS)
def test_imports_between_rooms_are_those_of_the_table(package):
    arrows = ARROWS[package]
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert rooms == set(arrows) - {""}
    for path in sources(package):
        room = room_of(path)
        if package == "experiments" and not room:
            continue
        others = {room_of(p) for p in neighbours(path, deferred=True) if package in p.parts}
        assert others - {room, ""} <= arrows[room], path
    graph = {room: others - {room} for room, others in arrows.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError for a cycle


@pytest.mark.parametrize("folder", ["nets", "train", "data", "experiments", "jobs"])
def test_there_is_no_cycle_of_imports(folder):
    graph = {}
    for path in sources(folder):
        names = neighbours(path, deferred=True)
        text = path.read_text(encoding="utf-8")
        # modes, which are loaded by name
        for name in re.findall(r"[\"'](experiments(?:\.\w+)+):\w+[\"']", text):
            assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), f"{path} names {name}"
        graph[module_of(path)] = {module_of(p) for p in names if p.name != "__init__.py"}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"cycle: {' > '.join(error.args[1])}")


def test_no_import_of_the_project_is_hidden_by_importlib():
    for folder in ("nets", "train", "data", "experiments"):
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            calls = re.findall(r"import_module\(([^)]*)\)", text)
            calls = [call for call in calls if not re.match(r'"(?!nets|train|data|exper)', call)]
            exceptions = {
                "experiments/report/check.py",
                "experiments/report/index.py",
                "nets/lazy.py",
                "train/rundir.py",  # the experiment that a run directory names
                "train/tracking.py",  # the library of a tracker
            }
            assert not calls or str(path.relative_to(ROOT)) in exceptions, path


def test_data_does_not_import_jax_and_the_launcher_imports_little():
    for path in sources("data"):
        assert not packages(path) & {"flax", "jax", "optax"}, path
    for path in (*sources("jobs"), *sources("launch.py")):
        assert packages(path) <= LAUNCHER_IMPORTS, path


def test_experiments_do_not_import_one_another():
    experiments = {path.stem for path in (ROOT / "experiments").glob("[!_]*.py")}
    for path in sources("experiments"):
        names = {
            name.split(".")[1] for name in imported(path, True) if name.startswith("experiments.")
        }
        assert not names & experiments, path


@pytest.mark.parametrize("name", LINES_LOADED)
def test_an_experiment_loads_few_lines(name):
    assert lines_loaded(ROOT / "experiments" / f"{name}.py") <= LINES_LOADED[name]


@pytest.mark.parametrize("name", ["word2vec", "char_lm"])
def test_importing_an_experiment_loads_only_its_static_imports(name):
    script = (
        f"import sys, experiments.{name}\n"
        "ours = ('nets', 'train', 'data', 'experiments')\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in ours))\n"
        "print(*{'matplotlib', 'sklearn', 'sacrebleu', 'sentencepiece'} & set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    static = {module_of(path) for path in closure(ROOT / "experiments" / f"{name}.py")}
    assert set(out[0].split()) == static
    assert not out[1]


def test_packages_have_few_flat_files():
    for package, maximum in FLAT.items():
        flat = [p.name for p in (ROOT / package).glob("*.py") if p.name != "__init__.py"]
        assert len(flat) <= maximum, flat


def test_no_file_is_long_and_none_is_called_utils():
    for folder in (*MAY_IMPORT, "tests", "bench"):
        for path in sources(folder):
            assert path.stem != "utils", path
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, path


def test_tracked_files_name_no_package_index():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    words = ["index" + "-url", "pyp" + "i.org", "python" + "hosted", "://" + "files."]
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.suffix not in {".png", ".npz"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not [word for word in words if word in text], path
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
