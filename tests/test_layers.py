"""The shape of the tree: who imports whom, how long files are, what stands in no file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "nets": {"nets"},
    "train": {"train"},
    "data": {"data"},
    "experiments": {"nets", "train", "data", "experiments"},
    "jobs": {"jobs"},
    "launch.py": {"jobs"},
}
OF_LAUNCH = sys.stdlib_module_names | {"absl", "tqdm", "jobs", "optuna"}


def sources(folder):
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.glob("**/*.py"))


def imports(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_layers_do_not_import_one_another(folder):
    layers = {"nets", "train", "data", "experiments", "jobs", "launch", "tests", "bench"}
    for path in sources(folder):
        found = {name.split(".")[0] for name in imports(path)} & layers
        assert found <= MAY_IMPORT[folder], f"{path} imports {found}"


def test_data_does_not_import_flax_and_launch_imports_only_what_starts_jobs():
    for path in sources("data"):
        assert not {name.split(".")[0] for name in imports(path)} & {"flax", "jax", "optax"}, path
    for path in (*sources("jobs"), *sources("launch.py")):
        assert {name.split(".")[0] for name in imports(path)} <= OF_LAUNCH, path


@pytest.mark.parametrize("folder", ["nets", "train", "data", "experiments", "jobs"])
def test_there_is_no_circle_of_imports(folder):
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources(folder)
    }
    graph = {name: set(imports(path)) & set(names) for name, path in names.items()}
    while leaves := [name for name, needs in graph.items() if not needs & set(graph)]:
        for name in leaves:
            del graph[name]
    assert not graph, f"circle among {sorted(graph)}"


def test_experiments_do_not_import_one_another():
    for path in (ROOT / "experiments").glob("[!_]*.py"):
        found = [name for name in imports(path) if name.startswith("experiments")]
        assert all(name.startswith("experiments._") for name in found), path


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
