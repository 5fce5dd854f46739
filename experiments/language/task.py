"""Language models: settings, the task of predicting the next symbol, and sampling."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from data.text.streams import EvaluationWindows, TrainingStreams
from nets.language.recurrent_lm import LanguageModel
from nets.recurrent.variants import ALL_CELLS, LINEAR
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer
from train.state import stream
from train.task import Assets, Batch, Experiment, Mean, RecurrentTask, Source, Task

MODES = {"generate": "experiments.language.generation:generate"}
SCORING = {  # the modes of recurrent networks
    **MODES,
    "calibrate": "experiments.language.calibration:calibrate",
    "dynamic": "experiments.language.dynamic:dynamic",
}
VOCABULARY = "vocabulary"  # name of the asset
EVALUATION_WINDOW = 256  # does not affect the results
DYNAMIC_RATES = (2e-4, 4e-4, 8e-4)


@dataclass(slots=True, kw_only=True)
class SymbolConfig(OptimizerConfig):
    """Settings of every language model."""

    dropout: float = option(
        0.0, "dropout probability", note="after each layer", minimum=0, maximum=0.95
    )
    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)

    prompt: str = option("", "text to continue", note="default: a new line", modes=("generate",))
    sample_length: int = option(
        400, "length of a sample", note="in characters", modes=("generate",), minimum=1
    )
    temperature: float = option(
        0.8, "sampling temperature", note="0: greedy", modes=("generate",), minimum=0
    )


@dataclass(slots=True, kw_only=True)
class Config(SymbolConfig):
    """Settings of recurrent language models."""

    cell: str = option("gru", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(192, "hidden units per layer", minimum=1)
    layers: int = option(1, "number of recurrent layers", minimum=1)
    embedding: int = option(0, "embedding dimension", note="0: one-hot input", minimum=0)
    variational_dropout: bool = option(False, "use one dropout mask for all time steps")
    weight_drop: float = option(
        0.0, "dropout probability of recurrent weights", minimum=0, maximum=0.95
    )
    bptt_length: int = option(
        64, "length of truncated backpropagation through time, in symbols", group="data", minimum=1
    )
    batch_size: int = SymbolConfig.changed("batch_size", 32, "in parallel streams of text")

    dynamic_rates: tuple[float, ...] = option(
        DYNAMIC_RATES, "learning rates to try", modes=("dynamic",), minimum=0
    )
    dynamic_decay: float = option(
        3e-3,
        "rate of decay towards the trained weights, per update",
        modes=("dynamic",),
        minimum=0,
        maximum=1,
    )
    dynamic_window: int = option(
        32, "symbols that are scored before each update", modes=("dynamic",), minimum=1
    )

    def check(self) -> None:
        """Raise ConfigError for an invalid setting."""
        SymbolConfig.check(self)
        if self.weight_drop and self.cell in LINEAR:
            raise ConfigError(
                f"config.weight_drop={self.weight_drop} needs a cell with recurrent weights, which "
                f"config.cell={self.cell} has not"
            )


class Symbols(Protocol):
    """A vocabulary of characters or words."""

    def to_bytes(self) -> bytes:
        """Return the vocabulary as an asset of a run."""

    def unknown(self, text: str) -> str:
        """Symbols of a text that are not in the vocabulary."""

    def __len__(self) -> int:
        """Number of symbols."""

    def encode(self, text: str) -> np.ndarray:
        """Ids int32 [N] of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids."""


class SymbolTask(Task):
    """Mean of -log P(next symbol | symbols before it), for any network.

    unit: name of a symbol, for the metric bits_per_{unit}. suppressed: ids that are never sampled.
    """

    def __init__(
        self,
        model: nn.Module,
        vocabulary: Symbols,
        config: SymbolConfig,
        unit: str,
        suppressed: Sequence[int],
    ):
        self.model, self.vocabulary, self.config = model, vocabulary, config
        self.unit, self.suppressed = unit, tuple(suppressed)

    def training(self, ids: np.ndarray) -> Source:
        """Training batches of a text, as a function of the step."""
        raise NotImplementedError

    def held_out(self, ids: np.ndarray) -> Iterable[Batch]:
        """Batches in which every symbol of a text except the first is a target once."""
        raise NotImplementedError

    def read(self, variables, tokens: np.ndarray):
        """State after tokens int32 [1, T] at the start of a text; T may be 0."""
        raise NotImplementedError

    def step(self, variables, tokens, carry):
        """Logits [N, V] of the symbols after tokens int32 [N], and the new state."""
        raise NotImplementedError

    def means(self, outputs, batch):
        """Loss in nats and accuracy; a target is correct if no logit exceeds its own."""
        targets = batch["targets"]
        nats = optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
        # on a CPU, argmax over a large vocabulary takes half as long as all matrix products
        target_logits = jnp.take_along_axis(outputs, targets[..., None], axis=-1)[..., 0]
        correct = target_logits >= outputs.max(axis=-1)
        values = {"loss": nats, "accuracy": correct}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def summaries(self, values):
        """Return the loss in bits, and the perplexity, exp(loss)."""
        nats = values["loss"]
        perplexity = math.exp(nats) if nats < 700 else math.inf
        return {f"bits_per_{self.unit}": nats / math.log(2), "perplexity": perplexity}

    def figures(self, predict, batches):
        """Return a text sampled from the model."""
        return {"sample": self.generate(predict.variables)}

    def generate(self, variables) -> str:
        """Prompt and its sampled continuation, a function of the seed and the settings."""
        return "".join(self.write(variables))

    def write(self, variables) -> Iterator[str]:
        """Yield the text of `generate` in pieces: the prompt as it is encoded, then each symbol.

        An empty prompt is a newline.
        """
        from nets.decoding.sampling import sample_steps
        from nets.decoding.step_model import StepModel

        config, vocabulary = self.config, self.vocabulary
        prompt = vocabulary.encode(config.prompt)
        prompt = prompt if len(prompt) else vocabulary.encode("\n")
        yield vocabulary.decode(prompt.tolist())
        previous = int(prompt[-1])
        carry = self.read(variables, prompt[None, :-1])
        model = StepModel(self.next_logits, variables, carry, prompt[-1:])
        key = stream(jax.random.key(config.seed), "sample", 0)
        length, temperature = config.sample_length, config.temperature
        for sampled in sample_steps(model, key, length=length, temperature=temperature):
            pair = [previous, int(sampled[0])]
            yield vocabulary.decode(pair).removeprefix(vocabulary.decode(pair[:1]))
            previous = pair[1]
        yield "\n"

    def next_logits(self, variables, tokens, carry):
        """Return `step` with logits -inf for the suppressed ids."""
        logits, carry = self.step(variables, tokens, carry)
        return logits.at[:, jnp.array(self.suppressed, jnp.int32)].set(-jnp.inf), carry


class NextSymbol(SymbolTask, RecurrentTask):
    """Mean of -log P(next symbol | all symbols before it), for a recurrent network."""

    model: LanguageModel
    config: Config
    axes: ClassVar = dict.fromkeys(("tokens", "resets", "targets"), "b, t")

    def training(self, ids):
        """Windows of parallel streams."""
        config = self.config
        return TrainingStreams(ids, config.batch_size, config.bptt_length, config.seed)

    def held_out(self, ids):
        """Windows of a single stream."""
        return EvaluationWindows(ids, jax.device_count(), EVALUATION_WINDOW)

    def inputs(self, batch):
        """Tokens, and where the state is reset before them."""
        return batch["tokens"], batch["resets"]

    def init_carry(self, batch):
        """Zeros for every stream."""
        return self.model.initialize_carry(batch["tokens"].shape[0])

    def read(self, variables, tokens):
        """Return the recurrent state after the tokens."""
        carry = self.model.initialize_carry(1)
        if tokens.shape[1]:
            _, carry = self.model.apply(variables, tokens, carry)
        return carry

    def step(self, variables, tokens, carry):
        """Feed one symbol to the network."""
        logits, carry = self.model.apply(variables, tokens[:, None], carry)
        return logits[:, 0], carry


def make_experiment(
    make_task: Callable[[Any, Assets], SymbolTask],
    config: SymbolConfig,
    vocabulary: Symbols,
    *,
    train: np.ndarray,
    held_out: Mapping[str, np.ndarray],
    sha256: str,
    pretrained: Mapping[str, np.ndarray] | None = None,
) -> Experiment:
    """Experiment that trains on one text and evaluates on others; its asset is the vocabulary.

    train, held_out: ids int [N] of the texts.
    """
    assets = {VOCABULARY: vocabulary.to_bytes()}
    task = make_task(config, assets)
    return Experiment(
        task=task,
        optimizer=make_optimizer(config),
        train=task.training(train),
        evals={name: task.held_out(ids) for name, ids in held_out.items()},
        provenance={
            "dataset": config.dataset.split(":")[0],
            "sha256": sha256,
            f"{task.unit}s": len(train),
            "vocabulary": len(vocabulary),
        },
        assets=assets,
        pretrained=pretrained or {},
    )
