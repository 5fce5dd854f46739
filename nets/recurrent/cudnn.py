"""The LSTM on cuDNN, through `jax.experimental.rnn`: same parameters, same results."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.experimental import rnn

from .bptt import has_rule
from .cells import LSTMCarry, LSTMCell, Weights


def check_cudnn(cell: nn.RNNCellBase) -> None:
    """Raise ValueError if cuDNN cannot run the cell, or is not available."""
    if type(cell) is not LSTMCell or not has_rule(cell):
        raise ValueError(
            "backend='cudnn' needs an LSTMCell without options, "
            f"got {type(cell).__name__}; backend='scan' runs every cell"
        )
    if cell.dtype not in (None, jnp.float32) or cell.param_dtype != jnp.float32:
        raise ValueError(
            f"backend='cudnn' needs float32, got dtype {cell.dtype}, {cell.param_dtype}"
        )
    kinds = {device.device_kind for device in jax.devices()}
    if not any("NVIDIA" in kind for kind in kinds):
        raise ValueError(f"backend='cudnn' needs an NVIDIA GPU, got {', '.join(sorted(kinds))}")


def pack(weights: Weights) -> jax.Array:
    """Parameters of an LSTMCell as cuDNN's vector: W_x^T and W_h^T by rows, then b_x and b_h.

    Both use the gate order i, f, g, o. cuDNN adds two biases; the second one is set to zero.
    """
    kernels = [weights[name].T.ravel() for name in ("kernel", "recurrent_kernel")]
    return jnp.concatenate([*kernels, weights["bias"], jnp.zeros_like(weights["bias"])])


def flip(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Reverse the first `length` steps of each row of x [N, T, D]; padding keeps its position."""
    time = jnp.arange(x.shape[1])
    positions = jnp.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)
    return jnp.take_along_axis(x, positions[..., None], axis=1)


def run_cudnn(
    weights: Weights,
    carry: LSTMCarry,
    x: jax.Array,
    lengths: jax.Array,
    *,
    reverse: bool,
    lstm: Callable = rnn.lstm,
) -> tuple[LSTMCarry, jax.Array]:
    """Run an LSTM over x [N, T, D], zero at padding, with lengths [N]; return (carry, outputs)."""
    hidden = carry.h.shape[1]
    x = x.astype(carry.h.dtype)
    lengths = jnp.clip(lengths, 0, x.shape[1])  # inside jit the values are not checked
    h, c = carry.h[None], carry.c[None]
    at_least_one = jnp.maximum(lengths, 1).astype(jnp.int32)  # cuDNN rejects rows without steps
    options = {
        "input_size": x.shape[2],
        "hidden_size": hidden,
        "num_layers": 1,
        "dropout": 0.0,
        "bidirectional": False,
    }
    ordered = flip(x, lengths) if reverse else x
    outputs, h, c = lstm(ordered, h, c, pack(weights), at_least_one, **options)
    outputs = flip(outputs, lengths) if reverse else outputs
    valid = (jnp.arange(x.shape[1]) < lengths[:, None])[..., None]
    last = jax.tree.map(
        lambda new, old: jnp.where(lengths[:, None] > 0, new[0], old), LSTMCarry(c, h), carry
    )
    return last, jnp.where(valid, outputs, 0)
