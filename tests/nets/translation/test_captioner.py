"""Captioner: captions at once agree with single steps; what each view and feedback depend on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from nets.image.backbone import ConvFeatures
from nets.translation.captioner import VIEWS, Captioner
from nets.translation.seq2seq import Decoder
from tests.nets.recurrent.networks import assert_close, noise_like, quick_jit

B, K, T, W = 2, 2, 3, 6
RNG = np.random.default_rng(0)
IMAGES = RNG.random((B, 4, 6, 2), np.float32)
INPUTS = RNG.integers(1, W, (B, K, T), np.int32)


class Blocks(nn.Module):
    """The image itself, and the means of its 2x2 blocks."""

    def __call__(self, images, *, train=False):
        return images, nn.avg_pool(images, (2, 2), (2, 2))


def make(view="attention", feedback=True, **decoder):
    options = {"cell": "lstm", "layers": 2, "attention": "general", **decoder}
    if view == "initial":
        options["attention"] = "none"
    net = Captioner(Blocks(), Decoder(W, 3, 4, **options), 1, 5, view, feedback)
    shapes = jax.eval_shape(net.init, jax.random.key(0), IMAGES, INPUTS)
    return net, noise_like(shapes, 1)


def stepwise(net, variables, images, inputs):
    """Logits [B, K, T, W]: each caption alone, step by step."""
    captions = []
    for k in range(K):
        carry, memory = net.apply(variables, images, method="start")
        steps = []
        for t in range(T):
            logits, carry, *_ = net.apply(variables, inputs[:, k, t], carry, memory, method="step")
            steps.append(logits)
        captions.append(jnp.stack(steps, axis=1))
    return jnp.stack(captions, axis=1)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_backbone_has_no_gradient_and_fixed_statistics(frozen):
    net = Captioner(ConvFeatures((2, 3)), Decoder(W, 3, 4), features=5, frozen=frozen)
    images = jax.random.uniform(jax.random.key(0), (B, 8, 8, 3))
    variables = jax.jit(net.init)(jax.random.key(1), images, INPUTS)

    def loss(params):
        logits, changed = net.apply(
            variables | {"params": params}, images, INPUTS, train=True, mutable=["batch_stats"]
        )
        return (logits[..., 0] ** 2).sum(), changed["batch_stats"]

    gradient, after = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(variables["batch_stats"]), strict=True)
    moved = [not np.array_equal(a, b) for a, b in pairs]
    norms = {name: float(optax.tree.norm(tree)) for name, tree in gradient.items()}
    assert any(moved) == (norms.pop("backbone") > 0) == (not frozen)
    assert all(norm > 0 for norm in norms.values())


@pytest.mark.parametrize(
    ("view", "more"),
    [
        ("attention", {"input_feeding": True}),
        ("each_step", {"input_feeding": True}),
        ("initial", {"cell": "gru", "layers": 1}),
        ("attention", {"feedback": False, "attention": "additive"}),
    ],
)
def test_captions_at_once_agree_with_single_steps(view, more):
    net, variables = make(view, **more)
    other = np.array(INPUTS)
    other[:, :, 1] = 1 + other[:, :, 1] % (W - 1)

    @quick_jit
    def run(images, inputs):
        return net.apply(variables, images, inputs), stepwise(net, variables, images, inputs)

    outputs, steps = run(IMAGES, INPUTS)
    assert outputs.shape == (B, K, T, W)
    assert outputs.dtype == jnp.float32
    assert_close(outputs, steps)
    # without feedback the logits depend on the step and the image alone
    feedback = more.get("feedback", True)
    changed = np.abs(run(IMAGES, other)[0] - outputs).max(axis=(0, 1, 3))
    assert (changed > 1e-4).tolist() == [False, feedback, feedback]
    assert np.abs(run(IMAGES[::-1], INPUTS)[0] - outputs).max() > 1e-4


def test_places_are_those_of_the_map_with_their_positions():
    net, variables = make()
    run = quick_jit(lambda v, x: [net.apply(v, x, method=name) for name in ("places", "summary")])
    places, summary = run(variables, IMAGES)
    kernel, bias = (variables["params"]["place"][name] for name in ("kernel", "bias"))
    blocks = IMAGES.reshape(B, 2, 2, 3, 2, 2).mean(axis=(2, 4))
    for row in range(2):
        for column in range(3):
            at = np.array([column - 1, 2 * row - 1]) @ variables["params"]["position"]["kernel"]
            expected = np.maximum(0, blocks[1, row, column] @ kernel + at + bias)
            np.testing.assert_allclose(places[1, 3 * row + column], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(summary, IMAGES.mean(axis=(1, 2)), rtol=1e-5)


def test_names_of_objects_are_a_penalty_of_training():
    net = make()[0].clone(naming=True, objects=(2, 3))
    mask = np.zeros((B, 4, 6), np.int32)
    mask[0, 1, 5], mask[1, 2:, :2], mask[1, 3, 0] = 6, 1, 5
    # the largest value of each cell of 2 x 2 pixels: 1 + 3 * first part + second part
    seen = {(0, 2): (2, 3), (1, 3): (2, 2)}
    shapes = jax.eval_shape(net.init, jax.random.key(0), IMAGES, INPUTS, mask)
    variables = {"params": noise_like(shapes, 1)["params"]}
    apply = quick_jit(partial(net.apply, mutable="penalties"), static_argnames="train")
    plain, nothing = apply(variables, IMAGES, INPUTS, mask)
    assert not nothing
    outputs, changed = apply(variables, IMAGES, INPUTS, mask, train=True)
    assert_close(outputs, plain)
    layers = [variables["params"][name] for name in ("name_features", "name_objects")]
    hidden, scores = [(layer["kernel"], layer["bias"]) for layer in layers]
    places = np.asarray(IMAGES, np.float64).reshape(B, 2, 2, 3, 2, 2).mean(axis=(2, 4))
    places = np.maximum(0, places.reshape(B, 6, 2) @ hidden[0] + hidden[1]) @ scores[0] + scores[1]

    def expected(names):
        total = 0
        for part, columns in enumerate((slice(0, 3), slice(3, 7))):
            scores = np.exp(places[..., columns])
            losses = -np.log(scores / scores.sum(axis=-1, keepdims=True))
            every = list(np.ndindex(places.shape[:2]))
            with_object = [losses[at][names[at][part]] for at in every if at in names]
            without = [losses[at][0] for at in every if at not in names]
            total += sum(np.mean(some) for some in (with_object, without) if some)
        return total

    np.testing.assert_allclose(changed["penalties"]["naming"][0], expected(seen), rtol=1e-5)
    empty = apply(variables, IMAGES, INPUTS, 0 * mask, train=True)[1]
    np.testing.assert_allclose(empty["penalties"]["naming"][0], expected({}), rtol=1e-5)
    # captions do not train what makes the map
    slope = quick_jit(jax.grad(lambda x, *mask: net.apply(variables, x, INPUTS, *mask).sum()))
    assert not np.any(slope(IMAGES, mask))
    assert np.all(np.any(slope(IMAGES), axis=(1, 2, 3)))


def test_each_step_sees_one_place_and_attention_all():
    for view in VIEWS:
        net, variables = make(view)
        memory = jax.eval_shape(partial(net.apply, method="start"), variables, IMAGES)[1]
        places = None if memory is None else memory.values.shape[1]
        assert places == {"attention": 6, "each_step": 1, "initial": None}[view]


@pytest.mark.parametrize(
    ("view", "attention", "part"),
    [
        ("attend", "general", "view must be one of attention, each_step, initial, got 'attend'"),
        ("attention", "none", "view 'attention' does not fit a decoder with attention 'none'"),
        ("initial", "general", "view 'initial' does not fit"),
    ],
)
def test_views_must_fit_the_decoder(view, attention, part):
    net = Captioner(Blocks(), Decoder(W, 3, 4, attention=attention), view=view)
    with pytest.raises(ValueError, match=part):
        jax.eval_shape(net.init, jax.random.key(0), IMAGES, INPUTS)
