"""The training step of every experiment divides its work over the devices."""

import importlib

import jax
import pytest

from tests.division import assert_divided
from tests.runs.test_experiments import NAMES, small
from train.placement import Placement
from train.state import init_state
from train.step import MetricWindow

# settings of a batch that has enough examples
SETTINGS = {
    "binary_mlp": {"batch_size": 32, "inputs": 5},
    "captioning": {"batch_size": 16},
    "identity838": {"batch_size": 8},
    "perceptron": {"batch_size": 64, "points": 64},
    "rcnn": {"batch_size": 8},
    "sppnet": {"batch_size": 8},
}
# parts of networks that the smallest settings leave out
VARIANTS = (
    ("word_lm", {"softmax": "adaptive", "cutoffs": (20, 60), "tie_embeddings": False}),
    ("word_lm", {"softmax": "sampled", "num_sampled": 50}),
    ("word_lm", {"dropout": 0.3, "variational_dropout": True, "weight_drop": 0.2}),
    ("char_lm", {"cell": "min_lstm"}),
    ("pos_tagger", {"output": "crf", "char_encoder": "recurrent"}),
)


def compiled(module, text_file, settings, devices):
    """The training step of one batch on some devices, compiled without making any parameter."""
    config = small(module, text_file, **settings)
    experiment = module.build(config)
    placement = Placement(config.batch_size, jax.devices()[:devices])
    batch = experiment.train(0)

    def begin(batch):
        state = init_state(experiment, 0, batch)
        return state, MetricWindow.empty(experiment.task, state.variables, batch)

    def described(tree, sharding):
        def describe(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        return jax.tree.map(describe, tree)

    state, window = jax.eval_shape(begin, batch)
    carry = described(state.carry, placement.rows)
    state, window = described((state, window), placement.everywhere)
    rows = described(jax.eval_shape(dict, batch), placement.rows)
    return placement.compile(experiment).lower(state.replace(carry=carry), window, rows).compile()


@pytest.mark.parametrize(
    ("name", "changes"), [*((name, {}) for name in NAMES), *VARIANTS], ids=lambda x: str(x)[:40]
)
def test_a_device_does_its_share_and_moves_no_rows(name, changes, text_file):
    module = importlib.import_module(f"experiments.{name}")
    settings = {"batch_size": 32, **SETTINGS.get(name, {}), **changes}
    quarter = {**settings, "batch_size": settings["batch_size"] // 4}
    assert_divided(
        four=compiled(module, text_file, settings, 4),
        one=compiled(module, text_file, settings, 1),
        quarter=compiled(module, text_file, quarter, 1),
    )
