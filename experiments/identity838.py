"""The 8-3-8 network: eight one-hot patterns are reproduced through three hidden units.

Reproduces: Mitchell, "Machine Learning", 1997, section 4.6.4, the example of the lectures. Sigmoid
units only, in the output as well; squared error E = 1/2 sum_k (t_k - o_k)^2; plain gradient descent
with learning rate 0.3, one update for each pattern, for 5,000 passes; initial weights uniform in
(-0.1, 0.1). The hidden units learn a code of about three bits.

    python -m experiments.identity838 --workdir=runs/identity838
    python -m experiments.identity838 --workdir=runs/identity838 --mode=history
    python -m experiments.identity838 --workdir=runs/identity838 --mode=code
    python -m experiments.identity838 --workdir=runs/838 --config.replicas=50 \\
        --config.eval_every=2000

--mode=history draws, against gradient steps, the squared error of each output unit, the hidden
activities for the input 01000000, and the weights into one hidden unit. --mode=code prints the
hidden activities and the outputs of each pattern. The last command trains 50 seeds in one program.

Data: the eight patterns, in a new random order in each pass (the book does not give an order).
Measured: the row of A4 in experiments/README.md; see also docs/feedforward.md.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.tabular.batches import EvaluationArrays, TrainingArrays, sha256_of
from experiments.common.settings import picture
from nets.feedforward.mlp import MLP
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment, Mean, Task

MODES = {
    "history": "experiments.feedforward.encoding:history",
    "code": "experiments.feedforward.encoding:print_code",
}
PATTERNS = 8
INITIAL = 0.1  # largest absolute value of an initial weight
SHOWN = 2  # pattern whose code is drawn over time, 01000000


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the network and its training."""

    TINY: ClassVar = {}

    dataset: str = option(
        "patterns",
        "name of the dataset",
        note="the eight one-hot patterns",
        group="data",
        choices=("patterns",),
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 1, "in patterns")

    hidden: int = option(3, "hidden units per layer", minimum=1)

    optimizer: str = OptimizerConfig.changed("optimizer", "sgd")
    learning_rate: float = OptimizerConfig.changed("learning_rate", 0.3)
    schedule: str = OptimizerConfig.changed("schedule", "constant")
    steps: int = OptimizerConfig.changed("steps", 40000)
    eval_every: int = OptimizerConfig.changed("eval_every", 400)
    save_every: int = OptimizerConfig.changed("save_every", 4000)
    log_every: int = OptimizerConfig.changed("log_every", 4000)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    picture: str = picture("history")


def initial_weights(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Weights and biases, uniform between -INITIAL and INITIAL."""
    return jax.random.uniform(key, shape, dtype, -INITIAL, INITIAL)


@partial(jax.jit, static_argnums=0)
def hidden_activities(model: MLP, variables, x) -> jax.Array:
    """Activities [B, units] of the only hidden layer for x [B, D]."""
    return model.apply(variables, x, method="hidden")[0]


class ReproducePatterns(Task):
    """Mean over patterns of half the squared error, summed over the output units.

    The model returns what enters the sigmoid output units.
    """

    model: MLP
    headline = "reproduced"

    def __init__(self, config: Config):
        self.model = MLP(
            (config.hidden,),
            PATTERNS,
            activation="sigmoid",
            kernel_init=initial_weights,
            bias_init=initial_weights,
            dtype=jnp.dtype(config.precision),
        )

    def inputs(self, batch):
        """Return the patterns."""
        return (batch["x"],)

    def means(self, outputs, batch):
        """Half the squared error."""
        errors = (batch["x"] - jax.nn.sigmoid(outputs)) ** 2
        return {"loss": Mean.from_values(errors.sum(axis=-1) / 2, batch.get("mask"))}

    def activities(self, predict) -> tuple[np.ndarray, np.ndarray]:
        """Activities of the hidden units [8, hidden] and of the output units [8, 8]."""
        patterns = np.eye(PATTERNS, dtype=np.float32)
        hidden = hidden_activities(self.model, predict.variables, patterns)
        outputs = jax.nn.sigmoid(predict({"x": patterns})[0])
        return np.asarray(hidden, np.float32), np.asarray(outputs)

    def scores(self, predict, batches):
        """Count reproduced patterns and hidden codes, and record what --mode=history draws.

        reproduced: patterns whose rounded outputs are right. codes: different rounded hidden
        activities. By number, from 1: error/K, the squared error of output unit K over all
        patterns; code/P, the rounded hidden activities of pattern P as a binary number; hidden/J,
        the activity of hidden unit J for the pattern SHOWN; weight/I, the weight of hidden unit 1
        from input I (0: its bias).
        """
        hidden, outputs = self.activities(predict)
        right = (outputs > 0.5) == np.eye(PATTERNS)
        codes = (hidden > 0.5) @ 2 ** np.arange(hidden.shape[1])[::-1]
        layer = jax.device_get(predict.variables["params"]["hidden0"])
        recorded = {
            "error/{}": enumerate(((outputs - np.eye(PATTERNS)) ** 2).sum(axis=0), 1),
            "code/{}": enumerate(codes, 1),
            "hidden/{}": enumerate(hidden[SHOWN - 1], 1),
            "weight/{}": enumerate((layer["bias"][0], *layer["kernel"][:, 0])),
        }
        counts = {"reproduced": int(right.all(axis=1).sum()), "codes": len(set(codes.tolist()))}
        return counts | {
            name.format(number): float(value)
            for name, values in recorded.items()
            for number, value in values
        }

    def figures(self, predict, batches):
        """Write the hidden activities and the outputs of each pattern."""
        from experiments.feedforward.encoding import code_table

        return {"code": code_table(*self.activities(predict))}


def make_task(config: Config, assets: Assets) -> ReproducePatterns:
    """Make the network."""
    del assets  # the patterns are part of the task
    return ReproducePatterns(config)


def build(config: Config) -> Experiment:
    """Make the network and the batches of patterns."""
    arrays = {"x": np.eye(PATTERNS, dtype=np.float32)}
    return Experiment(
        task=make_task(config, {}),
        optimizer=make_optimizer(config),
        train=TrainingArrays(arrays, config.batch_size, config.seed),
        evals={"patterns": EvaluationArrays(arrays, PATTERNS)},
        provenance={"dataset": config.dataset, "sha256": sha256_of(arrays["x"])},
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
