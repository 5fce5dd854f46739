"""Recurrent cells with Flax's RNNCellBase protocol: `cell(carry, x) -> (carry, y)`.

A cell is a Flax module that declares parameters, plus pure functions of these parameters, so that
the driver in `layers` can hoist the input product out of the loop, drop weights or replace a step:

    weights(size)                    parameters by name, for inputs with `size` features
    project(weights, x)              input product plus bias, for one step or all steps at once
    step(weights, carry, inputs)     the new carry, from the carry and the input product
    output(carry)                    the output of the layer

`cell(carry, x)` is `step(weights, carry, project(weights, x))` and its output, so that the cells
also run under `flax.linen.RNN`, and Flax cells run under `nets.recurrent.RNN`.

Shapes: N is any number of leading axes, D input features, H hidden features, G gates.

>>> import jax, jax.numpy as jnp
>>> cell, x = LSTMCell(4), jnp.zeros((2, 3))
>>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
>>> variables = cell.init(jax.random.key(1), carry, x)
>>> carry, y = cell.apply(variables, carry, x)
>>> y.shape
(2, 4)
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..choices import accumulation_dtype
from ..masking import as_named
from ..shapes import expand_to
from .initial import Initializer, by_gate, drawn_wide

Weights = dict[str, jax.Array]
Drop = jax.Array | None  # multiplier of h in the recurrent product
Parameters = dict[str, tuple[Initializer, tuple[int, ...]]]


def layer_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Normalise rows of x [N, H] to mean 0 and variance 1, times scale [H]; Ba et al. 2016."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-6) * scale


class Cell(nn.RNNCellBase):
    """Base class of the cells: parameters, input product, zero carry.

    dtype: dtype of the products (None: param_dtype). param_dtype: dtype of parameters, carries and
    outputs; bfloat16 products thus go with float32 carries. kernel_init: initialiser of the input
    kernel. recurrent_init: initialiser of the recurrent kernel, drawn gate by gate. Biases start at
    zero.
    """

    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()
    recurrent_init: Any = nn.initializers.orthogonal()

    def __init_subclass__(cls, **options: Any) -> None:
        """Mark overrides of pure methods as pure: they also run on a cell without a scope."""
        for name, method in vars(cls).items():
            if hasattr(getattr(super(cls, cls), name, None), "nowrap"):
                nn.nowrap(method)
        super().__init_subclass__(**options)

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of the input, in Flax's protocol."""
        return 1

    @property
    def gates(self) -> int:
        """Number of blocks of H columns in the kernels."""
        return 1

    @property
    def outputs(self) -> int:
        """Width of the output."""
        return self.features

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """Return zeros [N, H] for an input of shape [N, D]; `rng` is not used."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)

    @nn.nowrap
    def parameters(self, size: int) -> Parameters:
        """Return the initialiser and the shape of each parameter."""
        columns = self.gates * self.features
        recurrent = by_gate(self.recurrent_init, self.gates)
        return {
            "kernel": (self.kernel_init, (size, columns)),
            "bias": (nn.initializers.zeros, (columns,)),
            "recurrent_kernel": (recurrent, (self.outputs, columns)),
        }

    @nn.compact
    def weights(self, size: int) -> Weights:
        """Return the parameters by name, for inputs with `size` features."""
        return {
            name: self.param(name, drawn_wide(init), shape, self.param_dtype)
            for name, (init, shape) in self.parameters(size).items()
        }

    @nn.nowrap
    def product(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """Return x @ kernel with operands in the cell's dtype: [N, D] x [D, H] -> [N, H]."""
        dtype = self.dtype or self.param_dtype
        result = accumulation_dtype(dtype, self.param_dtype)
        return jnp.matmul(x.astype(dtype), kernel.astype(dtype), preferred_element_type=result)

    @nn.nowrap
    def recur(self, weights: Weights, h: jax.Array, drop: Drop) -> jax.Array:
        """Return the recurrent product in param_dtype; `drop` [N, H], if given, multiplies h."""
        h = h if drop is None else h * drop
        return self.product(h, weights["recurrent_kernel"]).astype(self.param_dtype)

    @nn.nowrap
    def project(self, weights: Weights, x: jax.Array) -> jax.Array:
        """Return U x + b, the input product, in the cell's dtype: [N, D] -> [N, G * H]."""
        product = self.product(x, weights["kernel"])
        bias = expand_to(weights["bias"].astype(product.dtype), product)
        return (product + bias).astype(self.dtype or product.dtype)

    @nn.nowrap
    def step(self, weights: Weights, carry: Any, inputs: jax.Array, drop: Drop = None) -> Any:
        """Return the new carry from the previous one and the input product [N, G * H].

        drop: multiplier [N, H] of the state in the recurrent product, or None.
        """
        raise NotImplementedError

    @nn.nowrap
    def output(self, carry: Any) -> jax.Array:
        """Return the output [N, H] that belongs to a carry."""
        return carry

    def __call__(self, carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        """Run one step on the input [N, D]; return (carry, output [N, H]).

        For a carry that is a named tuple, a plain tuple is accepted, and returned as well.
        """
        weights = self.weights(x.shape[-1])
        start = as_named(self.initialize_carry(jax.random.key(0), x.shape), carry)
        new = self.step(weights, start, self.project(weights, x))
        return (new if start is carry else tuple(new)), self.output(new)


class ElmanCell(Cell):
    """h_t = f(U x_t + W h_{t-1} + b), output h_t; f is `activation`, tanh by default.

    Source: Elman, "Finding structure in time", 1990; the simple recurrent network of the lectures.
    Equivalent to Flax's SimpleCell.
    """

    activation: Any = jnp.tanh

    def step(self, weights: Weights, carry: Any, inputs: jax.Array, drop: Drop = None) -> Any:
        """Return the new carry h [N, H]."""
        return self.activation(inputs.astype(carry.dtype) + self.recur(weights, carry, drop))


class LSTMCarry(NamedTuple):
    """Memory c [N, H] and output h [N, H], or [N, P] with a projection."""

    c: jax.Array
    h: jax.Array


class LSTMCell(Cell):
    """Long short-term memory, with the published variants as options.

        i_t = sigmoid(U_i x_t + W_i h_{t-1} + p_i c_{t-1} + b_i)      f_t likewise
        g_t = tanh(U_g x_t + W_g h_{t-1} + b_g)
        c_t = f_t c_{t-1} + i_t g_t
        o_t = sigmoid(U_o x_t + W_o h_{t-1} + p_o c_t + b_o)
        h_t = o_t tanh(c_t)

    Source: Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000. The order of the gates
    in the kernels is i, f, g, o.

    peephole: None omits p; "diagonal" multiplies p c elementwise (Gers and Schmidhuber 2000, Graves
    2013); "full" uses matrices. The input and forget gates read c_{t-1}, the output gate reads c_t.
    forget_bias: initial value of b_f, 1 by default, so that memory is retained at first
    (Jozefowicz et al. 2015); unlike in Haiku, nothing is added to b_f later. output_activation:
    tanh; `lambda c: c` gives h_t = o_t c_t as in Chai's lecture. projection: width P of
    h_t = R (o_t tanh(c_t)) (Sak et al. 2014), which is also the output. layer_norm: normalise both
    products, each as one vector over all gates, and c_t before its tanh (Ba et al. 2016). coupled:
    i_t = 1 - f_t (Greff et al. 2015); the gates are then f, g, o.
    """

    peephole: Literal["diagonal", "full"] | None = None
    forget_bias: float = 1.0
    output_activation: Any = jnp.tanh
    projection: int | None = None
    layer_norm: bool = False
    coupled: bool = False

    @property
    def gates(self) -> int:
        """Number of gates: three when coupled, else four."""
        return 3 if self.coupled else 4

    @property
    def outputs(self) -> int:
        """Width of the output: P with a projection, else H."""
        return self.projection or self.features

    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LSTMCarry:
        """Return an LSTMCarry of zeros."""
        del rng
        lead = input_shape[:-1]
        c, h = ((*lead, self.features), (*lead, self.outputs))
        return LSTMCarry(jnp.zeros(c, self.param_dtype), jnp.zeros(h, self.param_dtype))

    def parameters(self, size: int) -> Parameters:
        """Return the parameters of Cell and those of the options."""
        if self.peephole not in (None, "diagonal", "full"):
            raise ValueError(f"peephole must be None, 'diagonal' or 'full', got {self.peephole!r}")
        hidden, columns = self.features, self.gates * self.features
        parameters = super().parameters(size)
        forget = 0 if self.coupled else hidden

        def initial_bias(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jnp.zeros(shape, dtype).at[forget : forget + hidden].set(self.forget_bias)

        parameters["bias"] = (initial_bias, (columns,))
        if self.peephole:
            shape = (hidden,) if self.peephole == "diagonal" else (hidden, hidden)
            normal = nn.initializers.normal(hidden**-0.5)
            parameters["peephole_kernel"] = (normal, (self.gates - 1, *shape))
        if self.projection:
            shape = (hidden, self.projection)
            parameters["projection_kernel"] = (nn.initializers.lecun_normal(), shape)
        if self.layer_norm:
            for name in ("input_scale", "recurrent_scale"):
                parameters[name] = (nn.initializers.ones, (columns,))
            parameters["cell_scale"] = (nn.initializers.ones, (hidden,))
            parameters["cell_bias"] = (nn.initializers.zeros, (hidden,))
        return parameters

    def project(self, weights: Weights, x: jax.Array) -> jax.Array:
        """Return the input product plus bias; with layer_norm, normalised before the bias."""
        if not self.layer_norm:
            return super().project(weights, x)
        product = self.product(x, weights["kernel"]).astype(self.param_dtype)
        return layer_norm(product, weights["input_scale"]) + weights["bias"]

    def recur(self, weights: Weights, h: jax.Array, drop: Drop) -> jax.Array:
        """Return the recurrent product, normalised with layer_norm."""
        product = super().recur(weights, h, drop)
        return layer_norm(product, weights["recurrent_scale"]) if self.layer_norm else product

    @nn.nowrap
    def _peephole(self, weights: Weights, gate: int, c: jax.Array) -> jax.Array | int:
        """Return the contribution of c to a gate; `gate` indexes the gates with peepholes."""
        if not self.peephole:
            return 0
        kernel = weights["peephole_kernel"][gate]
        if self.peephole == "diagonal":
            return c * kernel
        return self.product(c, kernel).astype(c.dtype)

    def step(self, weights: Weights, carry: Any, inputs: jax.Array, drop: Drop = None) -> LSTMCarry:
        """Return the new LSTMCarry(c, h)."""
        previous = carry.c
        total = inputs.astype(previous.dtype) + self.recur(weights, carry.h, drop)
        *rest, f, g, o = jnp.split(total, self.gates, axis=-1)
        f = nn.sigmoid(f + self._peephole(weights, len(rest), previous))
        i = nn.sigmoid(rest[0] + self._peephole(weights, 0, previous)) if rest else 1 - f
        c = f * previous + i * jnp.tanh(g)
        o = nn.sigmoid(o + self._peephole(weights, self.gates - 2, c))
        normalised = c
        if self.layer_norm:
            normalised = layer_norm(c, weights["cell_scale"]) + weights["cell_bias"]
        h = o * self.output_activation(normalised)
        if self.projection:
            h = self.product(h, weights["projection_kernel"]).astype(c.dtype)
        return LSTMCarry(c, h)

    def output(self, carry: Any) -> jax.Array:
        """Return h."""
        return carry.h


class GRUCell(Cell):
    """Gated recurrent unit.

        z_t = sigmoid(U_z x_t + W_z h_{t-1} + b_z)      r_t likewise
        n_t = tanh(U_n x_t + W_n (r_t h_{t-1}) + b_n)
        h_t = z_t h_{t-1} + (1 - z_t) n_t

    Source: Cho et al. 2014. The order of the gates in the kernels is z, r, n. With z = 1 the state
    is kept, as in Cho et al., PyTorch and Mitchell's lecture. Texts that write
    h_t = (1 - z_t) h_{t-1} + z_t n_t (Chung et al. 2014, Verbeek's lecture) mean 1 - z by z; to
    convert, change the sign of the z block of both kernels and of the bias. reset_after:
    n_t = tanh(U_n x_t + b_n + r_t (W_n h_{t-1} + c)), the variant of cuDNN, PyTorch and Flax, which
    needs only one recurrent product; c is the parameter `recurrent_bias` [H].
    """

    reset_after: bool = False

    @property
    def gates(self) -> int:
        """Number of gates: z, r and n."""
        return 3

    def parameters(self, size: int) -> Parameters:
        """Return the parameters of Cell, and the bias that r multiplies with reset_after."""
        parameters = super().parameters(size)
        if self.reset_after:
            parameters["recurrent_bias"] = (nn.initializers.zeros, (self.features,))
        return parameters

    def step(self, weights: Weights, carry: Any, inputs: jax.Array, drop: Drop = None) -> Any:
        """Return the new carry h [N, H]."""
        split = 2 * self.features
        inputs = inputs.astype(carry.dtype)
        if self.reset_after:
            product = self.recur(weights, carry, drop)
            z, r = jnp.split(nn.sigmoid(inputs[..., :split] + product[..., :split]), 2, axis=-1)
            candidate = r * (product[..., split:] + weights["recurrent_bias"])
        else:
            kernel = weights["recurrent_kernel"]
            gates = self.recur({"recurrent_kernel": kernel[:, :split]}, carry, drop)
            z, r = jnp.split(nn.sigmoid(inputs[..., :split] + gates), 2, axis=-1)
            candidate = self.recur({"recurrent_kernel": kernel[:, split:]}, r * carry, drop)
        return z * carry + (1 - z) * jnp.tanh(inputs[..., split:] + candidate)


CELLS = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}
