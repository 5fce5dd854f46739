"""Exactness on a GPU: backend="cudnn" against the scan, and training that continues bit for bit.

    XLA_FLAGS=--xla_gpu_deterministic_ops=true python -m bench.gpu_exact --save=FOLDER/exact.json

Parity: the largest deviations of outputs and gradients with ragged lengths, relative to the largest
value. Continuing: the state of training goes to the host and back halfway; all bits of the end are
compared with those of a run that does not stop.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.gpu_lines import Line, Lines
from experiments import char_lm, lenet5
from nets.recurrent.cells import LSTMCell
from nets.recurrent.layers import RNN
from train.placement import Placement


def parity(reverse: bool, shape: tuple[int, ...]) -> list[Line]:
    """Deviations of an LSTM on cuDNN from the scan."""
    batch, time, size, hidden = shape
    x = jax.random.normal(jax.random.key(1), (batch, time, size))
    lengths = jnp.asarray(np.random.default_rng(0).integers(0, time + 1, batch))
    scan = RNN(LSTMCell(hidden), reverse=reverse)
    variables = scan.init(jax.random.key(0), x)

    def results(backend: str) -> Any:
        net = RNN(LSTMCell(hidden), reverse=reverse, backend=backend)

        def loss(variables: Any, x: jax.Array) -> tuple[jax.Array, Any]:
            carry, outputs = net.apply(variables, x, lengths)
            return (outputs**2).sum(), (carry, outputs)

        return jax.device_get(jax.jit(jax.grad(loss, (0, 1), has_aux=True))(variables, x))

    with jax.default_matmul_precision("float32"):
        found, expected = results("cudnn"), results("scan")
    gradients, outputs = (
        max(
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(*map(jax.tree.leaves, pair), strict=True)
        )
        for pair in zip(found, expected, strict=True)
    )
    return [{"gradients": f"{gradients:.1e}", "outputs": f"{outputs:.1e}"}]


def continued(module: ModuleType, steps: int) -> list[Line]:
    """Whether a run whose state went to the host and back has the bits of one that did not."""
    config = module.Config()
    experiment = module.build(config)
    devices = Placement(config.batch_size)
    step = devices.compile(experiment)

    def train(stop: bool) -> Any:
        state, window = devices.init(experiment, 0, experiment.train(0))
        for number in range(steps):
            if stop and number == steps // 2:
                shardings = jax.tree.map(lambda leaf: leaf.sharding, (state, window))
                state, window = jax.device_put(host((state, window)), shardings)
            state, window = step(state, window, devices.put_batch(experiment.train(number)))
        return host(state)

    def host(tree: Any) -> Any:
        """Copy to the host; random keys stay on the device."""
        keys = jax.dtypes.prng_key
        return jax.tree.map(
            lambda leaf: leaf if jnp.issubdtype(leaf.dtype, keys) else np.asarray(leaf), tree
        )

    def bits(tree: Any) -> list[bytes]:
        leaves = jax.tree.leaves(tree)
        keys = jax.dtypes.prng_key
        return [
            np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, keys) else x).tobytes()
            for x in leaves
        ]

    same = [bits(train(False)) == bits(train(stop)) for stop in (False, True)]
    return [{"again": str(same[0]), "continued": str(same[1])}]


def main() -> None:
    """Compare the backends, and runs."""
    lines = Lines(__doc__)
    shape, steps = ((4, 6, 8, 8), 4) if lines.tiny else ((64, 100, 256, 256), 40)
    for reverse in (False, True):
        name = {"subject": "cudnn against the scan", "reverse": str(reverse)}
        lines.add(name, lambda reverse=reverse: parity(reverse, shape))
    for module in (lenet5, char_lm):
        name = {"subject": module.__name__.rpartition(".")[2]}
        lines.add(name, lambda module=module: continued(module, steps))


if __name__ == "__main__":
    main()
