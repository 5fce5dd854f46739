"""AlexNet and VGG at the published size: parameters, seconds for a forward pass and a gradient.

python -m bench.imagenet
python -m bench.imagenet --batch=32 --networks=alexnet,vgg11
"""

import time

import jax
import jax.numpy as jnp
from absl import app, flags

from nets.image.alexnet import AlexNet
from nets.image.vgg import VGG

FULL = {
    "alexnet": (AlexNet(), 227),
    "ungrouped": (AlexNet(grouped=False), 227),
    "vgg11": (VGG(11), 224),
    "vgg16": (VGG(16), 224),
    "vgg19": (VGG(19), 224),
    "vgg16_bn": (VGG(16, batch_norm=True), 224),
}


def seconds(run, *args):
    """Run once to compile, then return (the result, the duration of a second run)."""
    jax.block_until_ready(run(*args))
    start = time.perf_counter()
    result = jax.block_until_ready(run(*args))
    return result, time.perf_counter() - start


def measure(network, side, batch):
    """Return (parameters, seconds for logits, seconds for a gradient, whether all are finite)."""
    key = jax.random.key(0)
    images = 60 * jax.random.normal(key, (batch, side, side, 3))
    variables = jax.jit(network.init)(key, images)
    params = variables.pop("params")

    def loss(params):
        logits, _ = network.apply(
            {**variables, "params": params},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    apply = jax.jit(lambda params: network.apply({**variables, "params": params}, images))
    logits, forward = seconds(apply, params)
    gradient, backward = seconds(jax.jit(jax.grad(loss)), params)
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((logits, gradient)))
    return sum(leaf.size for leaf in jax.tree.leaves(params)), forward, backward, finite


def main(_):
    """Print one line for each network."""
    for name in flags.FLAGS.networks:
        count, forward, backward, finite = measure(*FULL[name], flags.FLAGS.batch)
        print(
            f"{name:10} {count:12,} parameters  forward {forward:6.2f} s  "
            f"gradient {backward:6.2f} s  {'finite' if finite else 'NOT FINITE'}",
            flush=True,
        )


if __name__ == "__main__":
    flags.DEFINE_integer("batch", 1, "number of images in the batch")
    flags.DEFINE_list("networks", list(FULL), f"networks to time, of {', '.join(FULL)}")
    app.run(main)
