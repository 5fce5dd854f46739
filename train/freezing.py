"""Parameters that are not trained: no update, and no gradient."""

from typing import Any

import jax
import optax

from .paths import below, check_matches, paths


def frozen(freeze: str) -> optax.GradientTransformation:
    """Set the updates of all parameters below some paths to zero.

    freeze: paths or patterns, separated by commas. `init` raises ConfigError when one of them
    matches no parameter.
    """
    zero = optax.masked(optax.set_to_zero(), lambda params: are_frozen(params, freeze))

    def init(params: Any) -> Any:
        for pattern in patterns(freeze):
            check_matches("freeze", pattern, paths(params))
        return zero.init(params)

    return optax.GradientTransformation(init, zero.update)


def patterns(freeze: str) -> list[str]:
    """Paths and patterns of the setting config.freeze."""
    return [pattern.strip() for pattern in freeze.split(",") if pattern.strip()]


def are_frozen(params: Any, freeze: str) -> Any:
    """Whether each parameter is below one of the paths of `freeze`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(
            below(jax.tree_util.keystr(path, simple=True, separator="/"), pattern)
            for pattern in patterns(freeze)
        ),
        params,
    )


class Freezing(optax.GradientTransformationExtraArgs):
    """An optimizer that leaves some parameters as they are, so a step does not need their gradient.

    freeze: the paths of these parameters, as in `frozen`.
    """

    freeze: str

    def held(self, params: Any) -> Any:
        """Return the parameters with a gradient of zero for those that are frozen."""
        return jax.tree.map(
            lambda leaf, frozen: jax.lax.stop_gradient(leaf) if frozen else leaf,
            params,
            are_frozen(params, self.freeze),
        )


def freezing(optimizer: optax.GradientTransformationExtraArgs, freeze: str) -> Freezing:
    """Return the optimizer, which must not change the parameters below the paths of `freeze`."""
    made = Freezing(optimizer.init, optimizer.update)
    made.freeze = freeze
    return made
