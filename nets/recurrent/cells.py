"""Recurrent cells on Flax's RNNCellBase protocol: `cell(carry, x) -> (carry, y)`.

A cell is a Flax module for its parameters, and pure functions of them, so that the driver in
`recurrent.py` can take what does not depend on the past out of the loop, drop weights or run parts:

    weights(size)                    parameters, for inputs of `size` features, as a dict
    project(weights, x)              input product and bias, of one step or of all steps at once
    step(weights, carry, inputs)     what is left for each step: the new carry
    output(carry)                    what the layer shows of the carry

and `cell(carry, x)` is `step(weights, carry, project(weights, x))` with its output. So a cell also
runs under `flax.linen.RNN`, and a Flax cell under `nets.recurrent.layers.RNN`.

Shapes: N stands for any leading axes, D input features, H hidden features, G gates.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

Weights = dict[str, jax.Array]
Parameters = dict[str, tuple[Any, tuple[int, ...]]]


def by_gate(init, gates: int):
    """Initialiser of a kernel [rows, gates * H] that draws each gate's block [rows, H] apart."""

    def draw(key, shape, dtype):
        rows, columns = shape
        keys = jax.random.split(key, gates)
        return jnp.concatenate([init(k, (rows, columns // gates), dtype) for k in keys], axis=1)

    return draw


def layer_norm(x, scale):
    """Rows of x [N, H] with mean 0 and variance 1, times scale [H]; Ba et al. 2016."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-6) * scale


def sum_dtype(dtype, wide):
    """Dtype to ask a product of `dtype` operands for, `wide` being that of what it is added to.

    On a CPU XLA has fast products of bfloat16 only where the sums stay wide. Elsewhere the result
    is rounded, so that the products on the way back have operands of `dtype` too.
    """
    return wide if jax.default_backend() == "cpu" else dtype


class Cell(nn.RNNCellBase):
    """What the cells share: parameters, the input product, the zero carry.

    dtype is that of the products (None: param_dtype). Parameters, carries and outputs have
    param_dtype, so that bfloat16 products come with float32 carries. kernel_init is of the input
    kernel; recurrent_init of the recurrent kernel, gate by gate; biases start at zero.
    """

    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()
    recurrent_init: Any = nn.initializers.orthogonal()

    @property
    def num_feature_axes(self) -> int:
        """Flax's protocol: the input has one feature axis."""
        return 1

    @property
    def gates(self) -> int:
        """Blocks of H columns in the kernels."""
        return 1

    @property
    def outputs(self) -> int:
        """Width of the output."""
        return self.features

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        """Zeros [N, H] for an input of shape [N, D]; `rng` is not used."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)

    @nn.nowrap
    def parameters(self, size: int) -> Parameters:
        """Initialiser and shape of each parameter."""
        columns = self.gates * self.features
        recurrent = by_gate(self.recurrent_init, self.gates)
        return {
            "kernel": (self.kernel_init, (size, columns)),
            "bias": (nn.initializers.zeros, (columns,)),
            "recurrent_kernel": (recurrent, (self.outputs, columns)),
        }

    @nn.compact
    def weights(self, size: int) -> Weights:
        """Parameters by name, for inputs of `size` features."""
        return {
            name: self.param(name, init, shape, self.param_dtype)
            for name, (init, shape) in self.parameters(size).items()
        }

    def product(self, x, kernel):
        """Return x @ kernel of operands in the cell's dtype: [N, D] x [D, H] -> [N, H]."""
        dtype = self.dtype or self.param_dtype
        wanted = sum_dtype(dtype, self.param_dtype)
        return jnp.matmul(x.astype(dtype), kernel.astype(dtype), preferred_element_type=wanted)

    def recur(self, weights: Weights, h, drop):
        """Recurrent product in param_dtype; `drop` [N, H] multiplies h unless it is None."""
        kept = h if drop is None else h * drop
        return self.product(kept, weights["recurrent_kernel"]).astype(self.param_dtype)

    def project(self, weights: Weights, x):
        """Input product with bias, in the cell's dtype: U x + b, [N, D] -> [N, G * H]."""
        product = self.product(x, weights["kernel"])
        return (product + weights["bias"].astype(product.dtype)).astype(self.dtype or product.dtype)

    def step(self, weights: Weights, carry, inputs, drop=None):
        """Return the new carry from the last one and the input product [N, G * H].

        drop: float [N, H], what multiplies the state where it enters the recurrent product.
        """
        raise NotImplementedError

    def output(self, carry):
        """Output [N, H] of a carry."""
        return carry

    def __call__(self, carry, x):
        """One step from the raw input [N, D]: (carry, output [N, H])."""
        weights = self.weights(x.shape[-1])
        carry = self.step(weights, carry, self.project(weights, x))
        return carry, self.output(carry)


class ElmanCell(Cell):
    """h_t = f(U x_t + W h_{t-1} + b), output h_t; f is tanh unless `activation` says otherwise.

    Source: Elman, "Finding structure in time", 1990; the simple recurrent network of the lectures.
    Flax's SimpleCell is the same.
    """

    activation: Any = jnp.tanh

    def step(self, weights, carry, inputs, drop=None):
        """Carry: h [N, H]."""
        return self.activation(inputs.astype(carry.dtype) + self.recur(weights, carry, drop))


class LSTMCarry(NamedTuple):
    """Memory c [N, H] and output h [N, H], or [N, P] with a projection."""

    c: jax.Array
    h: jax.Array


class LSTMCell(Cell):
    """Long short-term memory in its published forms.

        i_t = sigmoid(U_i x_t + W_i h_{t-1} + p_i c_{t-1} + b_i)      f_t likewise
        g_t = tanh(U_g x_t + W_g h_{t-1} + b_g)
        c_t = f_t c_{t-1} + i_t g_t
        o_t = sigmoid(U_o x_t + W_o h_{t-1} + p_o c_t + b_o)
        h_t = o_t tanh(c_t)

    Source: Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000. The kernels hold the
    gates in the order i, f, g, o.

    peephole: None leaves p out; "diagonal" has p c elementwise (Gers and Schmidhuber 2000, Graves
    2013); "full" has matrices. Both input and forget gate see c_{t-1}, the output gate sees c_t.
    forget_bias: what b_f starts at, 1 so that memory is kept at first (Jozefowicz et al. 2015);
    nothing is added to it later, unlike in Haiku. output_activation: tanh; `lambda c: c` for the
    form h_t = o_t c_t of Chai's lecture. projection: width P of h_t = R (o_t tanh(c_t)) (Sak et al.
    2014), which is also the output. layer_norm: both products and c_t before its tanh are
    normalised (Ba et al. 2016), the products as one vector over all gates. coupled: i_t = 1 - f_t
    (Greff et al. 2015), with the gates f, g, o alone.
    """

    peephole: Literal["diagonal", "full"] | None = None
    forget_bias: float = 1.0
    output_activation: Any = jnp.tanh
    projection: int | None = None
    layer_norm: bool = False
    coupled: bool = False

    @property
    def gates(self) -> int:
        """Three when coupled, else four."""
        return 3 if self.coupled else 4

    @property
    def outputs(self) -> int:
        """Width of the output: P with a projection."""
        return self.projection or self.features

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        """LSTMCarry of zeros."""
        del rng
        lead = input_shape[:-1]
        c, h = ((*lead, self.features), (*lead, self.outputs))
        return LSTMCarry(jnp.zeros(c, self.param_dtype), jnp.zeros(h, self.param_dtype))

    @nn.nowrap
    def parameters(self, size):
        """Those of Cell, and what the options add."""
        if self.peephole not in (None, "diagonal", "full"):
            raise ValueError(f"peephole must be None, 'diagonal' or 'full', got {self.peephole!r}")
        hidden, columns = self.features, self.gates * self.features
        found = super().parameters(size)
        forget = 0 if self.coupled else hidden

        def start(key, shape, dtype):
            return jnp.zeros(shape, dtype).at[forget : forget + hidden].set(self.forget_bias)

        found["bias"] = (start, (columns,))
        if self.peephole:
            shape = (hidden,) if self.peephole == "diagonal" else (hidden, hidden)
            found["peephole_kernel"] = (
                nn.initializers.normal(hidden**-0.5),
                (self.gates - 1, *shape),
            )
        if self.projection:
            found["projection_kernel"] = (nn.initializers.lecun_normal(), (hidden, self.projection))
        if self.layer_norm:
            found["input_scale"] = found["recurrent_scale"] = (nn.initializers.ones, (columns,))
            found["cell_scale"] = (nn.initializers.ones, (hidden,))
            found["cell_bias"] = (nn.initializers.zeros, (hidden,))
        return found

    def project(self, weights, x):
        """Input product with bias, normalised before the bias with layer_norm."""
        if not self.layer_norm:
            return super().project(weights, x)
        product = self.product(x, weights["kernel"]).astype(self.param_dtype)
        return layer_norm(product, weights["input_scale"]) + weights["bias"]

    def recur(self, weights, h, drop):
        """Recurrent product, normalised with layer_norm."""
        product = super().recur(weights, h, drop)
        return layer_norm(product, weights["recurrent_scale"]) if self.layer_norm else product

    def _peep(self, weights, gate: int, c):
        """What a gate sees of c; `gate` counts those that see anything."""
        if not self.peephole:
            return 0
        kernel = weights["peephole_kernel"][gate]
        if self.peephole == "diagonal":
            return c * kernel
        return self.product(c, kernel).astype(c.dtype)

    def step(self, weights, carry, inputs, drop=None):
        """Carry: LSTMCarry(c, h)."""
        last = carry.c
        total = inputs.astype(last.dtype) + self.recur(weights, carry.h, drop)
        *rest, f, g, o = jnp.split(total, self.gates, axis=-1)
        f = nn.sigmoid(f + self._peep(weights, len(rest), last))
        i = nn.sigmoid(rest[0] + self._peep(weights, 0, last)) if rest else 1 - f
        c = f * last + i * jnp.tanh(g)
        o = nn.sigmoid(o + self._peep(weights, self.gates - 2, c))
        shown = c
        if self.layer_norm:
            shown = layer_norm(c, weights["cell_scale"]) + weights["cell_bias"]
        h = o * self.output_activation(shown)
        if self.projection:
            h = self.product(h, weights["projection_kernel"]).astype(c.dtype)
        return LSTMCarry(c, h)

    def output(self, carry):
        """The output is h."""
        return carry.h


class GRUCell(Cell):
    """Gated recurrent unit.

        z_t = sigmoid(U_z x_t + W_z h_{t-1} + b_z)      r_t likewise
        n_t = tanh(U_n x_t + W_n (r_t h_{t-1}) + b_n)
        h_t = z_t h_{t-1} + (1 - z_t) n_t

    Source: Cho et al. 2014. The kernels hold the gates in the order z, r, n. Here z = 1 keeps, as
    in Cho et al., PyTorch and Chai's lecture; where h_t = (1 - z_t) h_{t-1} + z_t n_t is written
    (Chung et al. 2014, Verbeek's lecture), z is what 1 - z is here: change the sign of the z block
    of both kernels and of the bias. reset_after: n_t = tanh(U_n x_t + b_n + r_t (W_n h_{t-1} + c)),
    the form of cuDNN, PyTorch and Flax, in which all recurrent products are one; c is
    `recurrent_bias` [H].
    """

    reset_after: bool = False

    @property
    def gates(self) -> int:
        """Three blocks: z, r and n."""
        return 3

    @nn.nowrap
    def parameters(self, size):
        """Those of Cell, and the bias inside of the reset."""
        found = super().parameters(size)
        if self.reset_after:
            found["recurrent_bias"] = (nn.initializers.zeros, (self.features,))
        return found

    def step(self, weights, carry, inputs, drop=None):
        """Carry: h [N, H]."""
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
