"""Recurrent networks as plain loops in numpy, written from the equations of the papers.

Nothing here comes from `nets`. The loops process one row and one step at a time and never read
padding. All arrays may have leading axes, so that many sets of parameters run at once, and complex
entries, which give derivatives to full precision (Squire and Trapp 1998):

    f(w + i s d) = f(w) + i s (df/dw . d) + O(s^2),    s = 1e-30
"""

from typing import Any, NamedTuple

import numpy as np

SMALL = 1e-30


def dot(x, kernel):
    """Row x [..., D] times kernel [..., D, M]."""
    return (x[..., None, :] @ kernel)[..., 0, :]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.where(a.real > 0, a, 0)


def normalised(a):
    """Mean 0 and variance 1 over the last axis, up to the 1e-6 added in the root."""
    centred = a - a.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)


def elman(w, carry, x, *, activation=np.tanh):
    """Elman 1990: h_t = f(U x_t + W h_{t-1} + b)."""
    (h,) = carry
    return (activation(dot(x, w["kernel"]) + dot(h, w["recurrent_kernel"]) + w["bias"]),)


def lstm(w, carry, x, *, peephole=None, outer=np.tanh, coupled=False):
    """Graves 2013, equations 7 to 11; full peepholes as in Mitchell's lecture.

    Other options: Sak et al. 2014 (projection), Ba et al. 2016 (layer norm), Greff et al. 2015
    (coupled gates).
    """
    c, h = carry
    inputs, product = dot(x, w["kernel"]), dot(h, w["recurrent_kernel"])
    if "input_scale" in w:
        inputs = normalised(inputs) * w["input_scale"]
        product = normalised(product) * w["recurrent_scale"]
    names = "fgo" if coupled else "ifgo"
    blocks = np.split(inputs + product + w["bias"], len(names), axis=-1)
    total = dict(zip(names, blocks, strict=True))

    def gate(name, memory):
        index = names.replace("g", "").index(name)
        if peephole == "diagonal":
            return sigmoid(total[name] + w["peephole_kernel"][..., index, :] * memory)
        if peephole == "full":
            return sigmoid(total[name] + dot(memory, w["peephole_kernel"][..., index, :, :]))
        return sigmoid(total[name])

    f = gate("f", c)
    i = 1 - f if coupled else gate("i", c)
    c = f * c + i * np.tanh(total["g"])
    o = gate("o", c)
    squashed = normalised(c) * w["cell_scale"] + w["cell_bias"] if "cell_scale" in w else c
    h = o * outer(squashed)
    if "projection_kernel" in w:
        h = dot(h, w["projection_kernel"])
    return c, h


def gru(w, carry, x, *, reset_after=False):
    """Cho et al. 2014, equations 5 to 8; or with the reset after the product, as in cuDNN."""
    (h,) = carry
    bias = np.split(w["bias"], 3, axis=-1)
    uz, ur, un = np.split(w["kernel"], 3, axis=-1)
    wz, wr, wn = np.split(w["recurrent_kernel"], 3, axis=-1)
    z = sigmoid(dot(x, uz) + dot(h, wz) + bias[0])
    r = sigmoid(dot(x, ur) + dot(h, wr) + bias[1])
    past = r * (dot(h, wn) + w["recurrent_bias"]) if reset_after else dot(r * h, wn)
    n = np.tanh(dot(x, un) + bias[2] + past)
    return (z * h + (1 - z) * n,)


def min_gru(w, carry, x):
    """Feng et al. 2024, section 3.1, with z for the paper's 1 - z."""
    (h,) = carry
    z, n = np.split(dot(x, w["kernel"]) + w["bias"], 2, axis=-1)
    return (sigmoid(z) * h + (1 - sigmoid(z)) * n,)


def min_lstm(w, carry, x):
    """Feng et al. 2024, section 3.2: forget and input gate are normalised to sum to 1."""
    (h,) = carry
    i, f, g = np.split(dot(x, w["kernel"]) + w["bias"], 3, axis=-1)
    i, f = sigmoid(i), sigmoid(f)
    return (f / (f + i) * h + i / (f + i) * g,)


class Rows(NamedTuple):
    """x [..., N, T, D], and bool [N, T]: valid steps, and where sequences begin."""

    x: Any
    valid: Any
    resets: Any


def read(step, params, carry, row, *, backwards=False):
    """Read one row, x [..., T, D] and bool [T]; return (carry, outputs [..., T, H]).

    Each sequence starts from zeros, or from a trained carry, except for the first one that is read:
    it starts from the given carry, unless that is None or it begins within the row.
    """
    names = [name for name in sorted(params) if name.startswith("initial_carry")]
    trained = tuple(params[name] for name in names)
    carry = carry or trained
    outputs = [np.zeros_like(carry[-1]) for _ in row.valid]
    order = range(len(row.valid))
    another = begun = False
    for t in reversed(order) if backwards else order:
        another = another or (row.resets[t] and not backwards)
        if row.valid[t]:
            if another:
                carry = trained or tuple(np.zeros_like(leaf) for leaf in carry)
            carry = step(params["cell"], carry, row.x[..., t, :])
            outputs[t] = carry[-1]
            another, begun = False, True
        another = another or (row.resets[t] and backwards and begun)
    return carry, np.stack(outputs, axis=-2)


def network(form, step, params, carries, row):
    """Run one row through layers; return (carries of all layers and directions, outputs).

    form: "forward", "reversed", "bidirectional", "stacked" (two layers) or "deep" (two
    bidirectional layers).
    """
    if form in ("forward", "reversed"):
        last, y = read(step, params, carries[0], row, backwards=form == "reversed")
        return [last], y
    if form == "bidirectional":
        forward = read(step, params["forward"], carries[0], row)
        backward = read(step, params["backward"], carries[1], row, backwards=True)
        return [forward[0], backward[0]], np.concatenate([forward[1], backward[1]], axis=-1)
    layer = "bidirectional" if form == "deep" else "forward"
    half = len(carries) // 2
    first, y = network(layer, step, params["layers_0"], carries[:half], row)
    above = row._replace(x=y)
    second, y = network(layer, step, params["layers_1"], carries[half:], above)
    return first + second, y


def batch(form, step, params, carries, rows):
    """`network` for each row; leaves of carries [..., N, H], or None for a trained carry.

    Returns the leaves of the carries [..., N, H], and last the outputs [..., N, T, H].
    """
    results = []
    for b, (valid, resets) in enumerate(zip(rows.valid, rows.resets, strict=True)):
        own = [carry and tuple(leaf[..., b, :] for leaf in carry) for carry in carries]
        row = Rows(rows.x[..., b, :, :], valid, resets)
        last, y = network(form, step, params, own, row)
        results.append([*(leaf for carry in last for leaf in carry), y])
    *last, outputs = zip(*results, strict=True)
    return [*(np.stack(leaf, -2) for leaf in last), np.stack(outputs, -3)]
