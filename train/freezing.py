"""Frozen parameters, which are not trained: they get no update, and no gradient is computed."""

from typing import Any

import jax
import optax

from .paths import below, check_matches, paths


def frozen(freeze: str) -> optax.GradientTransformation:
    """Set the updates of all parameters below some paths to zero.

    freeze: paths or patterns, separated by commas. `init` raises ConfigError when one of these
    matches no parameter.
    """
    zero = optax.masked(optax.set_to_zero(), lambda params: are_frozen(params, freeze))

    def init(params: Any) -> Any:
        for pattern in patterns(freeze):
            check_matches("freeze", pattern, paths(params))
        return zero.init(params)

    return optax.GradientTransformation(init, zero.update)


def patterns(freeze: str) -> list[str]:
    """Return the paths and patterns of the setting config.freeze."""
    return [pattern.strip() for pattern in freeze.split(",") if pattern.strip()]


def are_frozen(params: Any, freeze: str) -> Any:
    """Return for each parameter whether it is below one of the paths of `freeze`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(
            below(jax.tree_util.keystr(path, simple=True, separator="/"), pattern)
            for pattern in patterns(freeze)
        ),
        params,
    )


class Freezing(optax.GradientTransformationExtraArgs):
    """An optimizer that does not change some parameters, so that a step needs no gradient of them.

    freeze: the paths of these parameters, as in `frozen`.
    """

    freeze: str

    def held(self, params: Any) -> Any:
        """Return the parameters, of which the frozen ones have a gradient of zero."""
        return jax.tree.map(
            lambda leaf, frozen: jax.lax.stop_gradient(leaf) if frozen else leaf,
            params,
            are_frozen(params, self.freeze),
        )


def freezing(optimizer: optax.GradientTransformationExtraArgs, freeze: str) -> Freezing:
    """Return the optimizer as a `Freezing`.

    The optimizer itself must not change the parameters below the paths of `freeze`: see `frozen`.
    """
    made = Freezing(optimizer.init, optimizer.update)
    made.freeze = freeze
    return made
