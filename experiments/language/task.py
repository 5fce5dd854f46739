"""What language models share: settings, the task, and the text that they write."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from data.text.streams import EvaluationWindows, TrainingStreams
from nets.language.recurrent_lm import LanguageModel
from nets.recurrent.cells import CELLS
from train.config import OptimizerConfig, option
from train.evaluate import Predictor
from train.optimizer import make_optimizer
from train.state import stream
from train.task import Batch, Experiment, Mean, Task

MODES = {"generate": "experiments.language.task:generate"}
SCORING = {  # the modes of recurrent networks
    **MODES,
    "calibrate": "experiments.language.calibration:calibrate",
    "dynamic": "experiments.language.dynamic:dynamic",
}
EVALUATION_WINDOW = 256  # of no effect on what is found
RATES = (2e-4, 4e-4, 8e-4)


@dataclass(slots=True, kw_only=True)
class SymbolConfig(OptimizerConfig):
    """Settings of every language model."""

    dropout: float = option(
        0.0, "dropout probability", note="after each layer", minimum=0, maximum=0.95
    )
    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)

    prompt: str = option(
        "", "text that a sample continues", note="default: a new line", modes=("generate",)
    )
    sample_length: int = option(
        400, "length of a sample", note="in characters", modes=("generate",), minimum=1
    )
    temperature: float = option(
        0.8, "sampling temperature", note="0: greedy", modes=("generate",), minimum=0
    )


@dataclass(slots=True, kw_only=True)
class Config(SymbolConfig):
    """Settings of recurrent language models."""

    cell: str = option("gru", "recurrent cell", choices=CELLS)
    hidden: int = option(192, "hidden units per layer", minimum=1)
    layers: int = option(1, "recurrent layers", minimum=1)
    embedding: int = option(0, "embedding dimension", note="0: one-hot", minimum=0)
    variational_dropout: bool = option(False, "use one dropout mask for all time steps")
    weight_drop: float = option(
        0.0, "dropout probability of recurrent weights", minimum=0, maximum=0.95
    )
    bptt_length: int = option(
        64, "window of truncated backpropagation through time, in symbols", group="data", minimum=1
    )
    batch_size: int = SymbolConfig.changed("batch_size", 32, "parallel streams of text")

    dynamic_rates: tuple[float, ...] = option(
        RATES, "learning rates to try", modes=("dynamic",), minimum=0
    )
    dynamic_decay: float = option(
        3e-3,
        "decay towards the trained weights per update",
        modes=("dynamic",),
        minimum=0,
        maximum=1,
    )
    dynamic_window: int = option(
        32, "window of an update, in symbols", modes=("dynamic",), minimum=1
    )


class Symbols(Protocol):
    """A vocabulary: text to ids int32 [N] and back."""

    def unknown(self, text: str) -> str:
        """What of a text the vocabulary does not have."""

    def __len__(self) -> int:
        """Symbols."""

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids."""


class SymbolTask(Task):
    """Mean of -log P(next symbol given those before it), by any network.

    unit: what a symbol is, for the metric bits_per_{unit}. never: ids that are not drawn.
    """

    def __init__(
        self,
        model: nn.Module,
        vocabulary: Symbols,
        config: SymbolConfig,
        unit: str,
        never: Sequence[int],
    ):
        self.model, self.vocabulary, self.config = model, vocabulary, config
        self.unit, self.never = unit, tuple(never)

    def training(self, ids: np.ndarray) -> Callable[[int], Batch]:
        """Batches of a text to train on, by the step."""
        raise NotImplementedError

    def held_out(self, ids: np.ndarray) -> Iterable[Batch]:
        """Batches in which every symbol of a text but the first is a target once."""
        raise NotImplementedError

    def read(self, variables, tokens: np.ndarray):
        """State after tokens int32 [1, T] at the start of a text; T may be 0."""
        raise NotImplementedError

    def step(self, variables, tokens, carry):
        """Logits [N, V] of what follows tokens int32 [N], and the state after them."""
        raise NotImplementedError

    def means(self, outputs, batch):
        """Loss in nats and accuracy, over all symbols that count; right is what none exceeds."""
        targets = batch["targets"]
        nats = optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
        # on a CPU argmax over many words takes half as long as all the network's products
        chosen = jnp.take_along_axis(outputs, targets[..., None], axis=-1)[..., 0]
        right = chosen >= outputs.max(axis=-1)
        values = {"loss": nats, "accuracy": right}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def summaries(self, values):
        """Return the loss in bits, and as a perplexity, e to the nats."""
        nats = values["loss"]
        perplexity = math.exp(nats) if nats < 700 else math.inf
        return {f"bits_per_{self.unit}": nats / math.log(2), "perplexity": perplexity}

    def figures(self, predict, batches):
        """Return a text drawn from the model as it is."""
        return {"sample": self.generate(predict.variables)}

    def generate(self, variables) -> str:
        """Prompt and what the model makes of it; the same for the same seed and settings."""
        return "".join(self.write(variables))

    def write(self, variables) -> Iterator[str]:
        """Yield the text of `generate` piece by piece: the prompt as it is read, then each symbol.

        An empty prompt is a new line.
        """
        from nets.decoding.sampling import sample_steps

        config, vocabulary = self.config, self.vocabulary
        prompt = vocabulary.encode(config.prompt)
        prompt = prompt if len(prompt) else vocabulary.encode("\n")
        yield vocabulary.decode(prompt.tolist())
        carry = self.read(variables, prompt[None, :-1])
        key = stream(jax.random.key(config.seed), "sample", 0)
        last = int(prompt[-1])
        for drawn in sample_steps(
            self.next_logits,
            variables,
            carry,
            prompt[-1:],
            key,
            length=config.sample_length,
            temperature=config.temperature,
        ):
            pair = [last, int(drawn[0])]
            yield vocabulary.decode(pair).removeprefix(vocabulary.decode(pair[:1]))
            last = pair[1]
        yield "\n"

    def next_logits(self, variables, tokens, carry):
        """One step of generation; what stands for other symbols is never drawn."""
        logits, carry = self.step(variables, tokens, carry)
        return logits.at[:, jnp.array(self.never, jnp.int32)].set(-jnp.inf), carry


class NextSymbol(SymbolTask):
    """Mean of -log P(next symbol given all before it), by a recurrent network.

    texts: held-out texts by name, for the modes that read them anew.
    """

    model: LanguageModel
    config: Config

    def __init__(self, *settings, texts: Mapping[str, str]):
        super().__init__(*settings)
        self.texts = texts

    def training(self, ids):
        """Windows of lanes."""
        config = self.config
        return TrainingStreams(ids, config.batch_size, config.bptt_length, config.seed)

    def held_out(self, ids):
        """Windows of one lane."""
        return EvaluationWindows(ids, jax.device_count(), EVALUATION_WINDOW)

    def inputs(self, batch, carry):
        """Tokens, the state before them, and where it is to be forgotten."""
        return batch["tokens"], carry, batch["resets"]

    def init_carry(self, batch):
        """Zeros for every lane."""
        return self.model.initialize_carry(batch["tokens"].shape[0])

    def split_outputs(self, out):
        """Return logits and the carry, as the model does."""
        return out

    def read(self, variables, tokens):
        """Return the recurrent state after the tokens."""
        carry = self.model.initialize_carry(1)
        if tokens.shape[1]:
            _, carry = self.model.apply(variables, tokens, carry)
        return carry

    def step(self, variables, tokens, carry):
        """Feed the network one symbol."""
        logits, carry = self.model.apply(variables, tokens[:, None], carry)
        return logits[:, 0], carry


def make_experiment(
    task: SymbolTask, train: str, heldout: Mapping[str, str], sha256: str
) -> Experiment:
    """Experiment that trains the task on a text and scores it on others."""
    config, vocabulary = task.config, task.vocabulary
    ids = vocabulary.encode(train)
    return Experiment(
        task=task,
        optimizer=make_optimizer(config),
        train=task.training(ids),
        evals={name: task.held_out(vocabulary.encode(text)) for name, text in heldout.items()},
        provenance={
            "dataset": config.dataset.split(":")[0],
            "sha256": sha256,
            f"{task.unit}s": len(ids),
            "vocabulary": len(vocabulary),
        },
    )


def generate(task: SymbolTask, predict: Predictor) -> None:
    """--mode=generate: write the prompt and its continuation by the run's best checkpoint.

    A symbol is on the terminal as soon as it is drawn.
    """
    vocabulary = task.vocabulary
    if unknown := vocabulary.unknown(task.config.prompt):
        instead = vocabulary.decode(vocabulary.encode(unknown)[:1].tolist())
        print(
            f"warning: the network has never seen {unknown!r}: each such {task.unit} of the prompt "
            f"is read as {instead}, which stands for all that it does not know",
            file=sys.stderr,
        )
    for piece in task.write(predict.variables):
        print(piece, end="", flush=True)
