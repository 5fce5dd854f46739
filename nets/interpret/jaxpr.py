"""A function with some of its operations exchanged, found where they stand: in its jaxpr.

Rectifiers and pooling are functions and no modules, so that Flax cannot intercept them. Tracing
finds them in any network, as it is.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, Literal

Exchange = Callable[[JaxprEqn], Callable[..., Any] | None]


def exchange(function: Callable[..., Any], *rules: Exchange) -> Callable[..., Any]:
    """Return `function`, in which each operation that a rule answers to is what the rule returns.

    rule(equation) gives None, or what is called with the equation's inputs for its one output.
    Functions within `jax.jit` are looked into; loops, `jax.checkpoint` and functions with a
    derivative of their own are not, and stay as they are. The arguments are arrays.
    """

    def exchanged(*args):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        outputs = evaluate(closed.jaxpr, closed.consts, args, rules)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return exchanged


def evaluate(jaxpr: Jaxpr, consts, args, rules) -> list[Any]:
    """Outputs of a jaxpr, with the rules in force."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atoms):
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in atoms]

    for equation in jaxpr.eqns:
        inputs = read(equation.invars)
        new = next(filter(None, (rule(equation) for rule in rules)), None)
        if new is not None:
            outputs = [new(*inputs)]
        elif equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            outputs = evaluate(inner.jaxpr, inner.consts, inputs, rules)
        else:
            params = equation.primitive.get_bind_params(equation.params)
            outputs = equation.primitive.bind(*inputs, **params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return read(jaxpr.outvars)


def equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """Operations of a jaxpr, those within `jax.jit` among them."""
    for equation in jaxpr.eqns:
        yield equation
        if equation.primitive.name == "jit":
            yield from equations(equation.params["jaxpr"].jaxpr)


def is_rectifier(equation: JaxprEqn) -> bool:
    """Whether an operation is max(x, 0), itself or as a function of its own such as `nn.relu`."""
    inner = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}.get(equation.primitive.name)
    if inner:
        inside = equation.params[inner].eqns
        return len(inside) == 1 and is_rectifier(inside[0])
    zeros = [atom for atom in equation.invars if isinstance(atom, Literal) and atom.val == 0]
    return equation.primitive.name == "max" and len(zeros) == 1


@jax.custom_vjp
def rectify(x):
    """max(x, 0), through which max(g, 0) of a gradient g comes back, whatever x was."""
    return jnp.maximum(x, 0)


rectify.defvjp(lambda x: (rectify(x), None), lambda _, g: (jnp.maximum(g, 0),))


def deconvnet(equation: JaxprEqn) -> Callable[..., Any] | None:
    """Rule of Zeiler and Fergus: `rectify` for each rectifier."""
    if not is_rectifier(equation):
        return None
    place = [isinstance(atom, Literal) for atom in equation.invars].index(False)
    return lambda *inputs: rectify(inputs[place])


def pool_all(equation: JaxprEqn) -> Callable[..., Any] | None:
    """Rule that adds up the windows of a maximum pooling, so that it depends on all it reads."""
    if equation.primitive.name != "reduce_window_max":
        return None
    return lambda x: lax.reduce_window(x, np.zeros((), x.dtype), lax.add, **equation.params)
