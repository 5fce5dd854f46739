"""Experiments with images: figures of a classifier, and a network that scans patches."""

import jax
import numpy as np

from experiments import mdrnn
from experiments.common.classification import Classify
from nets.recurrent.grid import MDRNN
from tests.nets.recurrent.networks import noise_like, quick_jit


def test_figures_of_a_classifier_show_its_mistakes_without_padding():
    logits = np.array([[0, 1, 0], [0, 3, 0], [5, 0, 0], [9, 0, 0]], float)
    mask = np.array([1, 1, 1, 0])  # the last is padding
    images, labels = np.zeros((4, 2, 2, 1), np.float32), np.array([0, 1, 2, 0])
    batch = {"image": images, "label": labels, "mask": mask}
    figures = Classify(None, ("a", "b", "c")).figures(lambda _: (logits, ()), [batch])
    axis = figures["confusion"].axes[0]
    counts = {text.get_position(): text.get_text() for text in axis.texts}
    assert counts == {(1, 0): "1", (1, 1): "1", (0, 2): "1"}
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("prediction", "label")
    titles = [axis.get_title() for axis in figures["mistakes"].axes]
    assert titles == ["c, predicted a", "a, predicted b"]


def test_an_image_is_scanned_by_patches():
    images = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
    net, recurrent = mdrnn.GridClassifier(MDRNN(3, directions=2), 2, 4), MDRNN(3, directions=2)
    variables = noise_like(jax.eval_shape(net.init, jax.random.key(0), images), 1)
    params = variables["params"]
    patches = np.zeros((2, 3, 2, 12), np.float32)
    for b, i, j in np.ndindex(2, 3, 2):
        patches[b, i, j] = images[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel()

    @quick_jit
    def run(variables, images, patches):
        _, outputs = recurrent.apply({"params": params["recurrent"]}, patches)
        return net.apply(variables, images), outputs

    result, outputs = run(variables, images, patches)
    dense = params["Dense_0"]
    expected = np.asarray(outputs).mean((1, 2)) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
