"""Recurrent layers on a GPU: ours, Flax's, cuDNN through JAX, and cuDNN through PyTorch.

    python -m bench.gpu_recurrent --save=FOLDER/recurrent.json

One forward pass, and one gradient step as in bench.recurrent, for each cell and precision: float32
products, TF32 products, and bfloat16 layers. "cudnn" is RNN(backend="cudnn"), an LSTM in float32.
"""

import importlib
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bench.gpu_lines import Line, Lines, milliseconds
from bench.recurrent import FLAX, OURS
from bench.timing import Run, in_turn
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.layers import RNN

SHAPES = ((64, 100, 256, 256), (32, 64, 512, 512))
PRECISIONS = {"float32": "float32", "TF32": "tensorfloat32", "bfloat16": "default"}
CELLS: dict[str, Any] = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


def jax_run(layer: nn.Module, x: jax.Array, part: int | None, gradient: bool) -> Run:
    """Compile a pass of a layer; part: the index of the outputs in its results."""
    variables = layer.init(jax.random.key(0), x)

    def outputs(variables: Any, x: jax.Array) -> jax.Array:
        results = layer.apply(variables, x)
        return results if part is None else results[part]

    def loss(variables: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(outputs(variables, x).astype(jnp.float32) ** 2)

    run = jax.jit(jax.grad(loss, argnums=(0, 1)) if gradient else outputs)
    compiled = run.lower(variables, x).compile()
    return lambda: compiled(variables, x)


def torch_run(cell: str, x: np.ndarray, hidden: int, precision: str, gradient: bool) -> Run:
    """Return a pass of PyTorch's layer on the GPU."""
    torch = importlib.import_module("torch")
    for library in (torch.backends.cuda.matmul, torch.backends.cudnn):
        library.allow_tf32 = precision == "TF32"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    layer = kind(x.shape[-1], hidden, batch_first=True).to(device, dtype)
    inputs = torch.tensor(x).to(device, dtype).requires_grad_()

    def run() -> None:
        if gradient:
            layer.zero_grad()
            inputs.grad = None
            outputs, _ = layer(inputs)
            (outputs.float() ** 2).sum().backward()
        else:
            with torch.no_grad():
                layer(inputs)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def measure(
    cell: str, shape: tuple[int, ...], precision: str, gradient: bool, rounds: int
) -> list[Line]:
    """Lines of one cell, shape and precision; a library that is missing or refuses has none."""
    batch, time, size, hidden = shape
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    x = jax.random.normal(jax.random.key(1), (batch, time, size)).astype(dtype)
    options = {"reset_after": True} if cell == "gru" else {}
    own = CELLS[cell](hidden, dtype=dtype, **options)
    refused: list[Line] = []
    with jax.default_matmul_precision(PRECISIONS[precision]):
        runs = {
            "ours": jax_run(RNN(own), x, 1, gradient),
            "Flax": jax_run(nn.RNN(FLAX[cell](hidden, dtype=dtype)), x, None, gradient),
        }
        if cell == "lstm" and precision != "bfloat16":
            try:
                runs["cudnn"] = jax_run(RNN(own, backend="cudnn"), x, 1, gradient)
            except Exception as error:
                refused = [{"by": "cudnn", "error": str(error).split("\n", maxsplit=1)[0]}]
    if importlib.util.find_spec("torch"):
        plain = np.asarray(x.astype(jnp.float32))
        runs["PyTorch"] = torch_run(cell, plain, hidden, precision, gradient)
    return milliseconds(in_turn(runs, rounds), 1, "ours") + refused


def main() -> None:
    """Measure all cells, shapes and precisions."""
    lines = Lines(__doc__)
    for shape in ((4, 6, 8, 8),) if lines.tiny else SHAPES:
        for cell in OURS:
            for precision in PRECISIONS:
                for gradient in (False, True):
                    name = {"shape": str(shape), "cell": cell, "precision": precision}
                    name["pass"] = "gradient" if gradient else "forward"
                    setting = (cell, shape, precision, gradient, lines.rounds)
                    lines.add(name, lambda setting=setting: measure(*setting))


if __name__ == "__main__":
    main()
