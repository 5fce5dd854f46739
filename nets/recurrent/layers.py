"""Recurrent layers: RNN over any cell, Bidirectional, Stacked.

All take the same arguments and return `(carry, outputs)`:

    x                float [..., T, D], any number of leading batch axes
    lengths          int [...]: steps 0 .. length - 1 are real, the rest is padding
    mask             [..., T]: non-zero where a step is real; holes and left padding are allowed.
                     With both, a step is real when both say so
    resets           [..., T]: non-zero where a row starts afresh, from zeros, before it reads t
    initial_carry    carry before the first step; zeros when None
    deterministic    no dropout, weight drop or zoneout; False needs the random stream "dropout"

outputs [..., T, H] lie beside their inputs, also when a layer reads backwards, and are zero at
padding. The carry is the one after the last real step that was read; a row without any returns its
initial carry. What stands in the padding, NaN included, changes neither values nor gradients.
Wrong shapes or types raise ValueError, and so do lengths outside of 0 .. T where they are known
(inside jit they are not, and count as the nearest).
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from ..masking import check_carry, valid_steps
from .bptt import has_rule, scan_fused
from .cells import Cell
from .cudnn import check_cudnn, run_cudnn
from .linear_cells import ParallelCell
from .scan import Options, Steps, forget, hoist_pays, scan_cell, scan_parallel, select, shown


class RNN(nn.Module):
    """Run a cell over time.

    Equals, for one row x [T, D] and valid [T]:

        carry = initial_carry, or zeros
        for t in range(T):                      # or backwards, with reverse
            if resets[t]: carry = zeros
            if valid[t]:  carry, outputs[t] = cell(carry, x[t])
            else:         outputs[t] = 0

    cell: one of `nets.recurrent.cells`, `nets.recurrent.linear_cells`, or a Flax cell with one
    feature axis. reverse: read from the last step to the first. unroll: steps in one turn of the
    loop. remat_chunk: keep only the carry after every so many steps, and compute the rest again on
    the way back: memory for T / chunk + chunk steps, least at sqrt(T); 0 keeps all. truncate: let
    no gradient cross multiples of so many steps (truncated backpropagation through time); 0: all
    cross. rule: "custom" takes the gradient of a standard cell by `nets.recurrent.bptt`, which
    `jax.jvp` cannot differentiate; "autodiff" never. backend: "cudnn" for an LSTMCell on an NVIDIA
    GPU.

    Regularisers, off when deterministic: dropout, of the inputs, and recurrent_dropout, of h in the
    recurrent product, both with one mask for all steps (Gal and Ghahramani 2016); weight_drop, of
    the recurrent kernel (Merity et al. 2018); zoneout, the probability that a unit of the carry
    keeps its value (Krueger et al. 2017), whose expectation is taken when deterministic.
    """

    cell: nn.RNNCellBase
    reverse: bool = False
    unroll: int = 1
    remat_chunk: int = 0
    truncate: int = 0
    rule: str = "custom"
    backend: str = "scan"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: float = 0.0

    def __call__(
        self,
        x,
        lengths=None,
        mask=None,
        resets=None,
        initial_carry=None,
        *,
        deterministic: bool = True,
    ):
        """Return (carry, outputs [..., T, H]); see the module's text."""
        options = {"deterministic": deterministic, "reverse": self.reverse}
        return self.read(x, lengths, mask, resets, initial_carry, **options)

    def read(self, x, lengths, mask, resets, initial_carry, *, deterministic: bool, reverse: bool):
        """`__call__` in a given direction."""
        self._check()
        x = jnp.asarray(x)
        if x.ndim < 2 or not x.shape[-1] or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"x must be floating point [..., time, features], got {x.dtype} of shape {x.shape}"
            )
        *lead, time, size = x.shape
        rows = int(np.prod(lead))
        valid = valid_steps((*lead, time), lengths, mask)
        if resets is not None and jnp.shape(resets) != (*lead, time):
            raise ValueError(f"resets must have shape {(*lead, time)}, got {jnp.shape(resets)}")
        zeros = self.cell.initialize_carry(jax.random.key(0), (*lead, size))
        initial_carry = zeros if initial_carry is None else initial_carry
        check_carry(zeros, initial_carry)

        def flat(leaf):  # [..., T, F] -> [T, N, F]; also of [..., T]
            leaf = jnp.asarray(leaf)
            return jnp.swapaxes(leaf.reshape(rows, time, *leaf.shape[len(lead) + 1 :]), 0, 1)

        if valid is not None:  # NaN times a gradient of 0 would be NaN
            x = jnp.where(valid[..., None], x, 0)
        steps = Steps(
            flat(x),
            None if valid is None else flat(valid),
            None if resets is None else flat(resets) != 0,
        )
        carry = jax.tree.map(
            lambda leaf: jnp.asarray(leaf).reshape(rows, *leaf.shape[len(lead) :]), initial_carry
        )
        if self.backend == "cudnn":
            if mask is not None or resets is not None:
                raise ValueError("backend='cudnn' takes lengths, and neither mask nor resets")
            count = jnp.full(rows, time) if lengths is None else jnp.asarray(lengths).reshape(rows)
            rows_first = jnp.swapaxes(steps.x, 0, 1)
            weights = self.cell.weights(size)
            carry, outputs = run_cudnn(weights, carry, rows_first, count, reverse=reverse)
            outputs = jnp.swapaxes(outputs, 0, 1)
        else:
            carry, outputs = self._scan(carry, steps, deterministic, reverse)
        outputs = jnp.swapaxes(outputs, 0, 1).reshape(*lead, time, outputs.shape[-1])
        return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), carry), outputs

    def _check(self) -> None:
        """Raise ValueError when fields do not go together."""
        for name, allowed in (("rule", ("custom", "autodiff")), ("backend", ("scan", "cudnn"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.unroll < 1:
            raise ValueError(f"unroll must be at least 1, got {self.unroll}")
        if self.cell.num_feature_axes != 1:
            raise ValueError(
                f"the cell must have one feature axis, {type(self.cell).__name__} has "
                f"{self.cell.num_feature_axes}"
            )
        if self.remat_chunk and self.truncate not in (0, self.remat_chunk):
            raise ValueError(
                "truncate and remat_chunk must be equal where both are given, "
                f"got {self.truncate} and {self.remat_chunk}"
            )
        rates = ("recurrent_dropout", "weight_drop", "zoneout", "dropout")
        names = (*rates, "remat_chunk", "truncate")
        used = [name for name in names if getattr(self, name)]
        for name in used:
            if (value := getattr(self, name)) < 0 or (value >= 1 and name in rates):
                raise ValueError(f"{name} must not be negative, nor a rate 1 or more, got {value}")
        if self.backend == "cudnn":
            if used:
                raise ValueError(f"{used[0]} needs backend='scan', got 'cudnn'")
            check_cudnn(self.cell)
        used = [name for name in used if name != "dropout"]
        if used and not isinstance(self.cell, Cell):
            raise ValueError(
                f"{used[0]} needs a cell of nets.recurrent.cells, got {type(self.cell).__name__}"
            )
        if self.weight_drop and isinstance(self.cell, ParallelCell):
            raise ValueError(f"{type(self.cell).__name__} has no recurrent kernel to drop from")

    def _scan(self, carry, steps: Steps, deterministic: bool, reverse: bool):
        """Draw the noise, then scan: (carry, outputs [T, N, H])."""
        noisy = not deterministic

        def kept(rate, shape, dtype):
            """Zeros with probability `rate`, else 1 / (1 - rate)."""
            draw = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, shape)
            return draw.astype(dtype) / (1 - rate)

        rows, size = steps.x.shape[1:]
        if noisy and self.dropout:
            steps = steps._replace(x=steps.x * kept(self.dropout, (rows, size), steps.x.dtype))
        if not isinstance(self.cell, Cell):
            return self._scan_flax(carry, steps, reverse)
        weights = self.cell.weights(size)
        if noisy and self.weight_drop:
            kernel = weights["recurrent_kernel"]
            kernel = kernel * kept(self.weight_drop, kernel.shape, kernel.dtype)
            weights = {**weights, "recurrent_kernel": kernel}
        drop = None
        if noisy and self.recurrent_dropout:
            shape = (rows, self.cell.outputs)
            drop = kept(self.recurrent_dropout, shape, self.cell.param_dtype)
        if noisy and self.zoneout:
            keys = jax.random.split(self.make_rng("dropout"), steps.x.shape[0])
            steps = steps._replace(keys=keys)
        options = Options(reverse, self.unroll, hoist_pays(self.cell, steps.x), self.zoneout)
        cell = self.cell.clone(parent=None)

        def run(weights, carry, steps):
            if isinstance(cell, ParallelCell) and not self.zoneout:
                return scan_parallel(cell, weights, carry, steps, options, drop=drop)
            if self.rule == "custom" and has_rule(cell) and drop is None and not self.zoneout:
                return scan_fused(cell, options, weights, carry, steps)
            return scan_cell(cell, weights, carry, steps, options, drop=drop)

        size = self.remat_chunk or self.truncate
        if not size or not steps.x.shape[0]:
            return run(weights, carry, steps)
        return self._scan_chunks(partial(run, weights), carry, steps, size, reverse)

    def _scan_chunks(self, run, carry, steps: Steps, size: int, reverse: bool):
        """Scan over chunks of `size` steps, the last filled up with padding."""
        time = steps.x.shape[0]
        missing = -time % size
        if missing:
            valid = jnp.ones(steps.x.shape[:2], bool) if steps.valid is None else steps.valid
            steps = steps._replace(valid=valid)

        def cut(leaf):
            if missing:
                filling = jnp.broadcast_to(leaf[-1:], (missing, *leaf.shape[1:]))
                if leaf.dtype == bool:
                    filling = jnp.zeros_like(filling)
                leaf = jnp.concatenate([leaf, filling])
            return leaf.reshape(-1, size, *leaf.shape[1:])

        chunks = jax.tree.map(cut, steps)
        first = jnp.zeros(chunks.x.shape[0], bool).at[-1 if reverse else 0].set(True)

        def chunk(carry, given):
            first, steps = given
            if self.truncate:  # the initial carry lies before all steps, and is not cut off
                cut = lax.stop_gradient(carry)
                carry = jax.tree.map(lambda a, b: jnp.where(first, a, b), carry, cut)
            return run(carry, steps)

        body = jax.checkpoint(chunk) if self.remat_chunk else chunk
        carry, outputs = lax.scan(body, carry, (first, chunks), reverse=reverse)
        return carry, outputs.reshape(-1, *outputs.shape[2:])[:time]

    def _scan_flax(self, carry, steps: Steps, reverse: bool):
        """Scan a cell of Flax's own: (carry, outputs [T, N, H])."""

        def body(cell, carry, step):
            start = forget(step.resets, carry)
            new, y = cell(start, step.x)
            return select(step.valid, new, start), shown(step.valid, y)

        scan = nn.scan(
            body,
            variable_broadcast="params",
            split_rngs={"params": False},
            reverse=reverse,
            unroll=self.unroll,
        )
        return scan(self.cell, carry, steps)


MERGES: dict[str, Callable] = {
    "concat": lambda a, b: jnp.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "product": lambda a, b: a * b,
}


class Bidirectional(nn.Module):
    """Two layers, one of them reading backwards, and their outputs merged step by step.

    merge: "concat", "sum", "mean", "product" or any f(forward, backward) -> outputs. The carry is
    (forward's, backward's). Source: Schuster and Paliwal 1997.
    """

    forward: RNN
    backward: RNN
    merge: str | Callable = "concat"

    def __call__(
        self,
        x,
        lengths=None,
        mask=None,
        resets=None,
        initial_carry=None,
        *,
        deterministic: bool = True,
    ):
        """Return ((carry, carry), outputs); a reset starts each direction afresh as it reads it."""
        if self.forward is self.backward or self.forward.cell is self.backward.cell:
            raise ValueError("forward and backward must be two layers of two cells, got one twice")
        if self.forward.reverse or self.backward.reverse:
            raise ValueError("Bidirectional turns its second layer: give both with reverse=False")
        merge = self.merge if callable(self.merge) else MERGES.get(self.merge)
        if merge is None:
            raise ValueError(
                f"merge must be callable or one of {', '.join(MERGES)}, got {self.merge!r}"
            )
        carries = (None, None) if initial_carry is None else initial_carry
        if len(carries) != 2:
            raise ValueError(f"two directions need as many carries, got {len(carries)}")
        batch, how = (x, lengths, mask, resets), {"deterministic": deterministic}
        ahead = self.forward.read(*batch, carries[0], reverse=False, **how)
        behind = self.backward.read(*batch, carries[1], reverse=True, **how)
        outputs = merge(ahead[1], behind[1])
        valid = valid_steps(outputs.shape[:-1], lengths, mask)
        if valid is not None:  # a callable need not map zeros to zeros
            outputs = jnp.where(valid[..., None], outputs, 0)
        return (ahead[0], behind[0]), outputs


class Stacked(nn.Module):
    """Layers on top of one another; the carry is a tuple of theirs.

    layers: RNN, Bidirectional or alike. With Bidirectional layers each direction reads both of the
    layer below (Irsoy and Cardie 2014). dropout: of what goes from one layer to the next, anew at
    every step. residual: every layer but the first adds its input to its output.
    """

    layers: Sequence[nn.Module]
    dropout: float = 0.0
    residual: bool = False

    @nn.compact
    def __call__(
        self,
        x,
        lengths=None,
        mask=None,
        resets=None,
        initial_carry=None,
        *,
        deterministic: bool = True,
    ):
        """Return (carries, outputs of the last layer)."""
        before = [None] * len(self.layers) if initial_carry is None else initial_carry
        if len(before) != len(self.layers):
            raise ValueError(f"{len(self.layers)} layers need as many carries, got {len(before)}")
        if len({id(layer) for layer in self.layers}) < len(self.layers):
            raise ValueError(f"the {len(self.layers)} layers must be different, got one twice")
        carries = []
        for depth, (layer, initial) in enumerate(zip(self.layers, before, strict=True)):
            if depth:
                x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
            carry, outputs = layer(x, lengths, mask, resets, initial, deterministic=deterministic)
            if self.residual and depth:
                if outputs.shape != x.shape:
                    raise ValueError(
                        f"residual layers must keep the shape {x.shape}, got {outputs.shape}"
                    )
                outputs = outputs + x
            carries.append(carry)
            x = outputs
        return tuple(carries), x
