"""Replace operations of a function by rewriting its jaxpr.

Rectifiers and pooling are functions, not modules, so Flax cannot intercept them. Tracing exposes
them in any network without changes to it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal

Rule = Callable[[JaxprEqn], Callable[..., Any] | None]


def replace_operations(function: Callable[..., Any], *rules: Rule) -> Callable[..., Any]:
    """Return a copy of `function` in which the operations that match a rule are replaced.

    rule(equation) returns None, or a function from the equation's inputs to its only output; the
    first rule that matches is used. Functions inside `jax.jit` are searched as well; loops,
    `jax.checkpoint` and functions with a custom derivative are not, and stay unchanged. The
    arguments of `function` are arrays.

    >>> halved = replace_operations(jnp.sin, lambda equation: lambda x: x / 2)
    >>> float(halved(3.0))
    1.5
    """

    def replaced(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        outputs = evaluate(closed.jaxpr, closed.consts, args, rules)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return replaced


def evaluate(
    jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], rules: Sequence[Rule]
) -> list[Any]:
    """Return the outputs of a jaxpr, with the rules applied."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atoms: Sequence[Any]) -> list[Any]:
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in atoms]

    for equation in jaxpr.eqns:
        inputs = read(equation.invars)
        replacement = next(filter(None, (rule(equation) for rule in rules)), None)
        if replacement is not None:
            outputs = [replacement(*inputs)]
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
    """Yield the operations of a jaxpr, including those inside `jax.jit`."""
    for equation in jaxpr.eqns:
        yield equation
        if equation.primitive.name == "jit":
            yield from equations(equation.params["jaxpr"].jaxpr)


def is_rectifier(equation: JaxprEqn) -> bool:
    """Return whether an operation is max(x, 0), either directly or as a function like `nn.relu`."""
    inner = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}.get(equation.primitive.name)
    if inner:
        body = equation.params[inner].eqns
        return len(body) == 1 and is_rectifier(body[0])
    zeros = [atom for atom in equation.invars if isinstance(atom, Literal) and atom.val == 0]
    return equation.primitive.name == "max" and len(zeros) == 1


@jax.custom_vjp
def deconvnet_relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0); a gradient g is passed back as max(g, 0), regardless of x."""
    return jnp.maximum(x, 0)


deconvnet_relu.defvjp(lambda x: (deconvnet_relu(x), None), lambda _, g: (jnp.maximum(g, 0),))


def deconvnet_rule(equation: JaxprEqn) -> Callable[..., Any] | None:
    """Replace each rectifier by `deconvnet_relu`: the rule of Zeiler and Fergus."""
    if not is_rectifier(equation):
        return None
    index = [isinstance(atom, Literal) for atom in equation.invars].index(False)
    return lambda *inputs: deconvnet_relu(inputs[index])
