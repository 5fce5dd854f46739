"""Layer-wise pretraining and fine-tuning in one run: each step belongs to a stage.

In stage l, layer l is trained as a restricted Boltzmann machine on the activities of the layers
below; in the last stage, all layers are trained. The batch says which stage it is, so that training
remains a pure function of the step.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
import optax

from data.epochs import ALL, Rows
from data.images.labelled import Images, TrainingBatches
from train.task import Batch

# as published
MOMENTUM, FIRST_MOMENTUM, FIRST_PART = 0.9, 0.5, 0.1  # the latter in the first 5 of 50 passes
WEIGHT_DECAY = 0.0002
LINEAR_RATE = 0.01  # learning rate of a machine with linear hidden units, relative to the others


@dataclass(frozen=True)
class StagedBatches:
    """step -> the batch of another source, with "stage" int32 [B], the number of the stage.

    batches: step -> a batch with "image". stages: number of stages of `steps` steps before the
    last.
    """

    batches: TrainingBatches
    stages: int
    steps: int

    @property
    def source(self) -> Images:
        """The training images."""
        return self.batches.source

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        batch = self.batches(step, rows)
        stage = min(step // self.steps, self.stages)
        return {**batch, "stage": np.full(len(batch["image"]), stage, np.int32)}


def staged_schedule(
    fine_tuning: optax.Schedule, rates: Mapping[str, float], steps: int
) -> optax.Schedule:
    """Learning rate at each step of `staged_optimizer`, to log it."""
    constant = [optax.constant_schedule(rate) for rate in rates.values()]
    return optax.join_schedules(
        [*constant, fine_tuning], [steps * (i + 1) for i in range(len(rates))]
    )


def staged_optimizer(
    fine_tuning: optax.GradientTransformation, rates: Mapping[str, float], steps: int
) -> optax.GradientTransformationExtraArgs:
    """Train each layer in a stage of `steps` steps, then all of them by `fine_tuning`.

    rates: learning rate of the stage of each layer, by its name at the top of the parameters, in
    the order of the stages. The momentum and the weight decay of a stage are those published. In
    the stages of other layers the gradient of a layer must be zero, and the layer does not change.
    The steps of `fine_tuning` are counted from the end of the stages on.
    """
    momentum = optax.piecewise_constant_schedule(
        FIRST_MOMENTUM, {round(FIRST_PART * steps): MOMENTUM / FIRST_MOMENTUM}
    )

    def stage(index: int, rate: float) -> optax.GradientTransformation:
        rule = optax.chain(
            optax.add_decayed_weights(
                WEIGHT_DECAY, lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
            ),
            optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=momentum),
        )
        return optax.conditionally_transform(rule, lambda step: step // steps == index)

    stages = {name: stage(index, rate) for index, (name, rate) in enumerate(rates.items())}
    return optax.chain(
        optax.partition(stages, lambda params: {name: name for name in params}),
        optax.conditionally_transform(fine_tuning, lambda step: step >= len(rates) * steps),
    )
