"""Exported networks give the outputs of the run, in processes that have numpy or jax alone."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.runs.test_wheel import link_distributions
from tests.train.conftest import batch_at
from train.config import ConfigError
from train.export import as_json, export
from train.loop import fit
from train.trained import load_run

# both read batches from batches.npz and write outputs and carry to outputs.npz
NUMPY_ALONE = """
import json, pathlib
import numpy as np

content = pathlib.Path("network.safetensors").read_bytes()
start = 8 + int.from_bytes(content[:8], "little")
header = json.loads(content[8:start])
def array(path):
    entry = header[path]
    assert entry["dtype"] == "F32"
    begin, end = entry["data_offsets"]
    return np.frombuffer(content[start + begin:start + end], "<f4").reshape(entry["shape"])
given = np.load("batches.npz")
carry = given["carry"] + given["x"]
rows = np.concatenate([given["x"], carry], 1)
outputs = rows @ array("params/dense/kernel") + array("params/dense/bias")
"""
JAX_ALONE = """
import pathlib
import jax, numpy as np
from jax import export

program = export.deserialize(pathlib.Path("network.stablehlo").read_bytes())
given = np.load("batches.npz")
(outputs,), (carry,) = program.call({"x": given["x"]}, [given["carry"]])
"""
# jax does not require the package by which it serialises programs
PACKAGES = {"safetensors": ["numpy"], "stablehlo": ["jax", "flatbuffers"]}
AROUND = """
import sys
sys.path[:0] = ["links"]
{script}
np.savez("outputs.npz", outputs=outputs, carry=carry)
print(*sorted({{name.split(".")[0] for name in sys.modules}} & {{"jax", "flax", "train"}}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported") / "run"


@pytest.fixture
def run(folder, regression, small_config):
    config = small_config(steps=2, figures_at=())
    experiment = dataclasses.replace(
        regression(config, count_calls=True), assets={"words.json": b'["a"]'}
    )
    if not folder.exists():
        fit(experiment, config, folder)
    return load_run(lambda _: experiment, lambda *_: experiment.task, config, folder)


@pytest.mark.parametrize(
    ("form", "script"), [("safetensors", NUMPY_ALONE), ("stablehlo", JAX_ALONE)]
)
def test_another_program_reads_the_network(run, capsys, form, script):
    run.config.format = form
    folder = run.workdir / "export"
    shutil.rmtree(folder, ignore_errors=True)  # of another format
    export(run)
    names = [f"network.{form}", "network.json"]
    assert capsys.readouterr().out.splitlines() == [str(folder / name) for name in names]
    batch = batch_at(7, rows=3)  # 8 in training
    carry = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    np.savez(folder / "batches.npz", x=batch["x"], carry=carry)
    (folder / "links").mkdir(exist_ok=True)
    link_distributions(PACKAGES[form], folder / "links")
    done = subprocess.run(  # -I and -S: neither this project nor its environment
        [sys.executable, "-I", "-S", "-c", AROUND.format(script=script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["jax"] if form == "stablehlo" else [])
    found = np.load(folder / "outputs.npz")
    for name, expected in zip(("outputs", "carry"), run.predict(batch, carry), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
    described = json.loads((folder / "network.json").read_text())
    assert described["experiment"] == "train.config"
    assert described["config"]["steps"] == 2
    assert described["assets"] == {"words.json": ["a"]}
    if form == "stablehlo":
        form = {"dtype": "float32", "shape": ["b", 3]}
        assert (described["inputs"], described["carry"]) == ({"x": form}, [form])
    else:
        shapes = {"params/dense/bias": [2], "params/dense/kernel": [6, 2], "stats/calls": []}
        assert described["arrays"] == shapes


def test_an_export_says_which_files_it_replaces(run, tmp_path, capsys):
    shutil.copytree(run.workdir, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    moved = dataclasses.replace(run, workdir=tmp_path / "run")
    folder = moved.workdir / "export"
    names = [str(folder / name) for name in ("network.safetensors", "network.json")]
    for suffix in ("", " (replaced)"):
        export(moved)
        assert capsys.readouterr().out.splitlines() == [name + suffix for name in names]


def test_an_export_that_cannot_be_written_is_refused(run, tmp_path):
    (tmp_path / "export").write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot write to .*export: File exists"):
        export(dataclasses.replace(run, workdir=tmp_path))


def test_assets_are_readable_in_json():
    given = [b'{"a": [1]}', "two\nlines é".encode(), b"\xff\x00"]
    assert list(map(as_json, given)) == [{"a": [1]}, "two\nlines é", {"base64": "/wA="}]
