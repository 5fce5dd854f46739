"""Recurrent layers: RNN, which runs any cell over time, and Stacked.

All layers take the same arguments, which `Layer` declares, and return `(carry, outputs)`:

    x                float [..., T, D], with any number of leading batch axes
    lengths          int [...]: steps 0 .. length - 1 are valid, the rest is padding
    mask             [..., T]: non-zero where a step is valid; may have holes and padding on the
                     left. With lengths and mask, a step is valid if both say so
    resets           [..., T]: non-zero where another sequence begins, so that several are packed
                     in a row. Each is read as if alone, in both directions: from zeros, or from
                     the trained carry
    segment_ids      int [..., T]: a sequence begins where the id changes; instead of resets
    initial_carry    carry before the first step; if None, that of a restart. A plain tuple (c, h)
                     is taken as an LSTMCarry
    train            enables dropout, weight drop and zoneout, which need the random stream
                     "dropout"

Outputs [..., T, H] stay aligned with their inputs, including in reversed layers, and are zero at
padding. The carry is the one after the last valid step in reading order; a row without valid steps
returns its initial carry. Padding values, even NaN, affect neither outputs nor gradients. Wrong
shapes or dtypes raise ValueError, as do lengths outside 0 .. T where their values are known (inside
`jax.jit` they are not, and are clipped).

Flax's transformations apply to the layers. `nn.remat` and `nn.jit` trace the flag `train` unless
its position is static: `nn.remat(RNN, static_argnums=(6,))` for a layer with noise. Numbers of rows
and steps may be symbolic in `jax.export`.

>>> import jax, jax.numpy as jnp
>>> from nets.recurrent import Bidirectional, GRUCell, LSTMCell
>>> net = Stacked([Bidirectional(RNN(LSTMCell(4)), RNN(LSTMCell(4))), RNN(GRUCell(5))])
>>> x, lengths = jnp.ones((2, 6, 3)), jnp.array([6, 4])
>>> variables = jax.jit(net.init)(jax.random.key(0), x)
>>> carries, outputs = jax.jit(net.apply)(variables, x, lengths)
>>> outputs.shape, len(carries)
((2, 6, 5), 2)
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict
from flax.core.scope import CollectionFilter, PRNGSequenceFilter
from flax.typing import InOutScanAxis
from jax.typing import ArrayLike

from ..masking import check_carry
from ..shapes import expand_to, is_static, varying, zeros_by_row
from .cells import Weights
from .checks import RATES, Marks, check_inputs, check_settings, draws_noise, pure_cell
from .resets import restarts
from .scan import (
    Options,
    Steps,
    apply_resets,
    hoist_pays,
    scan_cell,
    select,
    zero_padding,
)

Results = tuple[Any, jax.Array]


class Layer(nn.Module):
    """Base class: declares the arguments of a call and checks them; a subclass defines `run`.

    A layer calls the layers inside it with its Marks in place of lengths, so that the arguments are
    checked only once.
    """

    def __call__(  # noqa: PLR0917, as static_argnums counts positions
        self,
        x: ArrayLike,
        lengths: ArrayLike | Marks | None = None,
        mask: ArrayLike | None = None,
        resets: ArrayLike | None = None,
        initial_carry: Any = None,
        train: bool = False,
        segment_ids: ArrayLike | None = None,
    ) -> Results:
        """Return (carry, outputs [..., T, H]); see the module's docstring."""
        x = jnp.asarray(x)
        if isinstance(lengths, Marks):
            marks = lengths
        else:
            marks = check_inputs(x, lengths, mask, resets, segment_ids)
        return self.run(x, marks, initial_carry, train=train)

    def run(self, x: jax.Array, marks: Marks, carry: Any, *, train: bool) -> Results:
        """Return (carry, outputs [..., T, H], zero at padding).

        carry: the initial one, not yet checked, or None.
        """
        raise NotImplementedError


class RNN(Layer):
    """Run a cell over time.

    For one row x [T, D] and valid [T], this computes:

        carry = initial_carry, or start
        for t in range(T):                  # or backwards, if reverse
            if not valid[t]: outputs[t] = 0; continue
            if t is in another sequence than the valid step read before: carry = start
            carry, outputs[t] = cell(carry, x[t])

    where start is zero or, with trainable_carry, one parameter for each leaf of the carry, which is
    zero at first: initial_carry [H], or initial_carry_c and initial_carry_h for an LSTM.

    cell: a cell of `nets.recurrent.cells` or `nets.recurrent.linear_cells`, or a Flax cell with one
    feature axis. reverse: read from the last step to the first. unroll: number of steps in each
    iteration of the loop. remat_chunk: keep only the carry after each chunk of this many steps and
    recompute the rest for the gradient; needs memory for T / chunk + chunk steps, which is least at
    sqrt(T); 0 keeps everything. truncate: stop the gradient at multiples of this many steps
    (truncated backpropagation through time); 0 disables it. rule: "custom" uses the gradient of
    `nets.recurrent.bptt` for the standard cells, which `jax.jvp` cannot differentiate; "autodiff"
    never does. backend: "scan", or "cudnn" for an LSTMCell on an NVIDIA GPU.

    Regularisers, in training: dropout of the inputs and recurrent_dropout of h in the recurrent
    product, both with one mask for all steps (Gal and Ghahramani 2016); weight_drop of the
    recurrent kernel (Merity et al. 2018); zoneout, the probability that a unit of the carry keeps
    its value (Krueger et al. 2017), as one rate, or one for each leaf of the carry, (c, h) for an
    LSTM; outside of training, the expectation replaces it.

    variable_axes, variable_broadcast, variable_carry, split_rngs: treatment of a Flax cell's
    variables and random streams over time, as in `flax.linen.RNN`. They are for cells with state
    other than parameters (`variable_carry="batch_stats"`), with dropout
    (`split_rngs={"params": False, "dropout": True}`) or with `sow`
    (`variable_axes={"intermediates": 0}`).
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
    zoneout: float | Sequence[float] = 0.0
    trainable_carry: bool = False
    variable_axes: Mapping[CollectionFilter, InOutScanAxis] = FrozenDict()
    variable_broadcast: CollectionFilter = "params"
    variable_carry: CollectionFilter = False
    split_rngs: Mapping[PRNGSequenceFilter, bool] = FrozenDict({"params": False})

    @nn.compact
    def run(self, x: jax.Array, marks: Marks, carry: Any, *, train: bool) -> Results:
        """Check the settings and the carry, and run the cell over rows [N, T, D]."""
        check_settings(self)
        reverse = self.reverse != marks.reverse
        *lead, time, size = x.shape
        rows = math.prod(lead)
        zeros = self.cell.initialize_carry(jax.random.key(0), (*lead, size))
        by_row = zeros_by_row(x, len(lead))
        zeros = jax.tree.map(lambda leaf: leaf + by_row[..., None].astype(leaf.dtype), zeros)
        fresh = self._trained_carry(size) if self.trainable_carry else None
        if carry is None:
            carry = zeros
            if fresh is not None:
                carry = jax.tree.map(lambda leaf, zero: expand_to(leaf, zero) + zero, fresh, zeros)
        carry = check_carry(zeros, carry)

        def time_major(leaf: ArrayLike) -> jax.Array:  # [..., T, F] -> [T, N, F]; also [..., T]
            leaf = jnp.asarray(leaf)
            return jnp.swapaxes(leaf.reshape(rows, time, *leaf.shape[len(lead) + 1 :]), 0, 1)

        if marks.valid is not None:  # NaN times a gradient of 0 would be NaN
            x = jnp.where(marks.valid[..., None], x, 0)
        fresh_at = marks.resets
        if fresh_at is not None:
            fresh_at = restarts(fresh_at, marks.valid, reverse)
        steps = Steps(time_major(x), *jax.tree.map(time_major, (marks.valid, fresh_at)))
        carry = jax.tree.map(
            lambda leaf: jnp.asarray(leaf).reshape(rows, *leaf.shape[len(lead) :]), carry
        )
        if self.backend == "cudnn":
            from .cudnn import check_cudnn, run_cudnn

            check_cudnn(self.cell)
            if marks.resets is not None or (marks.valid is not None and marks.lengths is None):
                raise ValueError("backend='cudnn' takes lengths, but neither mask nor resets")
            count = jnp.full(lead, time) if marks.lengths is None else jnp.asarray(marks.lengths)
            batch_major = jnp.swapaxes(steps.x, 0, 1)
            weights = self.cell.weights(size)
            carry, outputs = run_cudnn(
                weights, carry, batch_major, count.reshape(rows), reverse=reverse
            )
            outputs = jnp.swapaxes(outputs, 0, 1)
        else:
            fresh = fresh if steps.resets is not None else None
            carry, outputs = self._scan(carry, steps, fresh, train, reverse)
        outputs = jnp.swapaxes(outputs, 0, 1).reshape(*lead, time, outputs.shape[-1])
        return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), carry), outputs

    def _trained_carry(self, size: int) -> Any:
        """Return the parameters of the initial carry, leaves [H]; size: that of the inputs."""

        def declare(path: Any, zeros: jax.Array) -> jax.Array:
            leaf = jax.tree_util.keystr(path, simple=True, separator="_")
            return self.param(f"initial_carry_{leaf}".rstrip("_"), lambda _: zeros)

        start = self.cell.initialize_carry(jax.random.key(0), (size,))
        return jax.tree_util.tree_map_with_path(declare, start)

    def _scan(self, carry: Any, steps: Steps, fresh: Any, train: bool, reverse: bool) -> Results:
        """Draw the noise, then scan; return (carry, outputs [T, N, H])."""
        zoneout: tuple[float, ...] = ()
        if self.zoneout:
            from .zoneout import zoneout_rates

            zoneout = zoneout_rates(self.zoneout, carry)
        noisy = draws_noise(train, *(getattr(self, name) for name in RATES))

        def dropout_mask(rate: float, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            """Draw zeros with probability `rate`, else 1 / (1 - rate)."""
            draw = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, shape)
            return draw.astype(dtype) / (1 - rate)

        time, rows, size = steps.x.shape
        if noisy and self.dropout:
            mask = dropout_mask(self.dropout, (rows, size), steps.x.dtype)
            steps = steps._replace(x=steps.x * mask)
        bound = pure_cell(self)
        if bound is None:
            return self._scan_module(carry, steps, fresh, reverse)
        weights, cell = bound.weights(size), bound.clone(parent=None)
        if noisy and self.weight_drop:
            kernel = weights["recurrent_kernel"]
            kernel = kernel * dropout_mask(self.weight_drop, kernel.shape, kernel.dtype)
            weights = {**weights, "recurrent_kernel": kernel}
        drop = None
        if noisy and self.recurrent_dropout:
            drop = dropout_mask(self.recurrent_dropout, (rows, cell.outputs), cell.param_dtype)
        if noisy and zoneout:
            steps = steps._replace(keys=jax.random.split(self.make_rng("dropout"), time))
        options = Options(reverse, self.unroll, hoist_pays(cell, steps.x), zoneout)

        def run(weights: Weights, carry: Any, steps: Steps) -> Results:
            parallel = getattr(cell, "scan_parallel", None)  # of `nets.recurrent.linear_cells`
            if parallel and is_static(steps.x.shape[0]) and not zoneout:
                return parallel(weights, carry, steps, options, drop=drop, fresh=fresh)
            if self.rule == "custom" and drop is None and not zoneout:
                from .bptt import has_rule, scan_fused

                if has_rule(cell):
                    weights, start = varying((weights, fresh), steps.x)
                    return scan_fused(cell, options, weights, carry, steps, start)
            return scan_cell(cell, weights, carry, steps, options, drop=drop, fresh=fresh)

        chunk = self.remat_chunk or self.truncate
        if not chunk or not time:
            return run(weights, carry, steps)
        from .chunks import scan_chunks

        if is_static(time):  # a chunk is padded to its size
            chunk = min(chunk, time)
        how = {"reverse": reverse, "remat": self.remat_chunk > 0, "truncate": self.truncate > 0}
        return scan_chunks(partial(run, weights), carry, steps, chunk, **how)

    def _scan_module(self, carry: Any, steps: Steps, fresh: Any, reverse: bool) -> Results:
        """Scan a cell that is called as a Flax module; return (carry, outputs [T, N, H])."""

        def body(cell: nn.RNNCellBase, carry: Any, step: Steps) -> Results:
            start = apply_resets(step.resets, carry, fresh)
            new, y = cell(start, step.x)
            return select(step.valid, new, start), zero_padding(step.valid, y)

        if self.variable_carry and self.is_initializing():
            # `nn.scan` can carry variables, but not create them
            self.cell(carry, jnp.zeros(steps.x.shape[1:], steps.x.dtype))
        scan = nn.scan(
            body,
            variable_axes=self.variable_axes,
            variable_broadcast=self.variable_broadcast,
            variable_carry=self.variable_carry,
            split_rngs=self.split_rngs,
            reverse=reverse,
            unroll=self.unroll,
        )
        return scan(self.cell, carry, steps)


class Stacked(Layer):
    """Layers on top of each other; the carry is the tuple of their carries.

    layers: RNN, Bidirectional, or any other Layer. In a stack of Bidirectional layers, each
    direction reads both directions of the layer below (Irsoy and Cardie 2014). dropout: rate
    between layers, with a new mask in each step, or the dropout module of a network that calls it
    elsewhere too. residual: every layer except the first adds its input to its output.
    """

    layers: Sequence[Layer]
    dropout: float | nn.Dropout = 0.0
    residual: bool = False

    @nn.compact
    def run(self, x: jax.Array, marks: Marks, carry: Any, *, train: bool) -> Results:
        """Return (carries, outputs of the last layer)."""
        initial = [None] * len(self.layers) if carry is None else carry
        if len(initial) != len(self.layers):
            raise ValueError(f"{len(self.layers)} layers need as many carries, got {len(initial)}")
        if len({id(layer) for layer in self.layers}) < len(self.layers):
            raise ValueError(f"the {len(self.layers)} layers must be different, got one twice")
        noisy, carries = draws_noise(train, self.dropout), []
        for depth, (layer, start) in enumerate(zip(self.layers, initial, strict=True)):
            if depth:
                rate = self.dropout
                drop = rate if isinstance(rate, nn.Dropout) else nn.Dropout(rate)
                x = drop(x, deterministic=not noisy)
            final, outputs = layer(x, marks, None, None, start, train)
            if self.residual and depth:
                if outputs.shape != x.shape:
                    raise ValueError(
                        f"residual layers must keep the shape {x.shape}, got {outputs.shape}"
                    )
                outputs = outputs + x
            carries.append(final)
            x = outputs
        return tuple(carries), x
