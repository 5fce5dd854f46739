"""Character language model: a recurrent network reads a text and predicts each next character.

Reproduces: the language models of the lectures (Elman, GRU or LSTM units, one-hot characters,
truncated backpropagation through time with carried state, text drawn from the model), and on
tiny Shakespeare the loss of nanoGPT's small transformer, 1.4697 nats a character on the last 10 %.

    python -m experiments.char_lm --workdir=runs/char_lm --config.cell=gru
    python -m experiments.char_lm --workdir=runs/char_lm --mode=generate --config.prompt='def '

Data: python_source (the standard library of the running Python, the default), tiny_shakespeare or
another prepared dataset with text, or text:PATH. "validation" chooses the best checkpoint;
"heldout" is validation and test text as one, scored at the end. Characters outside the vocabulary
count as one symbol. Measured: the rows of C3 in experiments/README.md.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import optax

from data.lanes import EvaluationLanes, TrainingLanes
from data.text import UNKNOWN, Vocabulary, load_text
from nets.decoding import sample
from nets.language_model import CELLS, LanguageModel
from train import cli
from train.config import Config as SharedConfig
from train.config import option
from train.evaluate import Predictor
from train.optimizer import make_optimizer
from train.state import stream
from train.task import Experiment, Mean, Task


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of a character language model."""

    dataset: str = option("python_source", "a prepared dataset with text, or text:PATH")
    cell: str = option("gru", "", choices=CELLS)
    hidden: int = option(192, "units of a layer", minimum=1)
    layers: int = option(1, "recurrent layers", minimum=1)
    embedding: int = option(0, "width of the character embedding; 0: one-hot", minimum=0)
    dropout: float = option(0.0, "share dropped after each layer", minimum=0, maximum=0.95)
    input_scale: float = option(0.0, "deviation of the one-hot kernel; 0: LeCun's", minimum=0)
    window: int = option(64, "characters of backpropagation through time", minimum=1)
    vocabulary: int = option(128, "symbols at most; the rarest characters become one", minimum=3)
    heldout_characters: int = option(0, "of each held-out split; 0: all", minimum=0)
    prompt: str = option("", "what a sample continues; empty: a new line", volatile=True)
    sample_length: int = option(400, "characters of a sample", minimum=1, volatile=True)
    temperature: float = option(0.8, "of sampling; 0: the most probable", minimum=0, volatile=True)

    batch_size: int = option(32, "lanes of text read side by side", minimum=1)
    learning_rate: float = option(4e-3, "its highest value", above=0)
    clip_norm: float = option(1.0, "highest global norm of the gradient; 0: no clipping", minimum=0)
    schedule: str = option("cosine", "after warm-up", choices=("constant", "cosine", "step"))
    decay_factor: float = option(0.01, "last rate over the first", minimum=0, maximum=1)


class NextCharacter(Task):
    """Mean of -log P(next character given all before it)."""

    headline = "bits_per_character"

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary, config: Config):
        self.model, self.vocabulary, self.config = model, vocabulary, config

    def inputs(self, batch, carry):
        """Tokens, the state before them, and where it is to be forgotten."""
        return batch["tokens"], carry, batch["resets"]

    def init_carry(self, batch):
        """Zeros for every lane."""
        return self.model.initialize_carry(batch["tokens"].shape[0])

    def split_outputs(self, out):
        """Return logits and the carry, as the model does."""
        return out

    def means(self, outputs, batch):
        """Loss in nats, the same in bits, and accuracy, over all characters that count."""
        nats = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["targets"])
        right = jnp.argmax(outputs, axis=-1) == batch["targets"]
        values = {"loss": nats, "bits_per_character": nats / math.log(2), "accuracy": right}
        return {name: Mean.of(value, batch.get("mask")) for name, value in values.items()}

    def figures(self, predict, batches):
        """Return a text drawn from the model as it is."""
        return {"sample": self.generate(predict.variables)}

    def generate(self, variables) -> str:
        """Prompt and what the model makes of it; the same for the same seed and settings."""
        config = self.config
        start = config.prompt or "\n"
        prompt = self.vocabulary.encode(start)[None]
        carry = self.model.initialize_carry(1)
        if prompt.shape[1] > 1:
            _, carry = self.model.apply(variables, prompt[:, :-1], carry)
        key = stream(jax.random.key(config.seed), "sample", 0)
        options = {"length": config.sample_length, "temperature": config.temperature}
        ids = sample(self.next_logits, variables, carry, prompt[:, -1], key, **options)
        return start + self.vocabulary.decode(ids[0].tolist()) + "\n"

    def next_logits(self, variables, tokens, carry):
        """One step of generation; padding and the unknown character are never drawn."""
        logits, carry = self.model.apply(variables, tokens[:, None], carry)
        return logits[:, 0].at[:, : UNKNOWN + 1].set(-jnp.inf), carry


def build(config: Config) -> Experiment:
    """Read the corpus; make the network, the lanes and the task."""
    corpus = load_text(config.dataset, config.data_dir)
    vocabulary = Vocabulary.of(corpus.train, config.vocabulary)
    size = (len(vocabulary), config.cell, config.hidden, config.layers, config.embedding)
    dtype = jnp.dtype(config.precision)
    model = LanguageModel(*size, config.dropout, config.input_scale, dtype)
    train = vocabulary.encode(corpus.train)
    limit = config.heldout_characters or None
    validation, test = corpus.validation[:limit], corpus.test[:limit]
    texts = {"validation": validation, "heldout": validation + test}
    lanes = partial(EvaluationLanes, batch_size=config.batch_size, length=config.window)
    return Experiment(
        task=NextCharacter(model, vocabulary, config),
        optimizer=make_optimizer(config),
        train=TrainingLanes(train, config.batch_size, config.window, config.seed),
        evals={name: lanes(vocabulary.encode(text)) for name, text in texts.items()},
        provenance={
            "dataset": config.dataset.split(":")[0],
            "sha256": corpus.sha256,
            "characters": len(train),
            "vocabulary": len(vocabulary),
        },
    )


def generate(task: NextCharacter, predict: Predictor) -> None:
    """--mode=generate: print the prompt and its continuation by the run's best checkpoint."""
    unknown = sorted(set(task.config.prompt) - set(task.vocabulary.characters))
    if unknown:
        print(f"warning: the network has never seen {''.join(unknown)!r}", file=sys.stderr)
    print(task.generate(predict.variables), end="")


MODES = {"generate": generate}

if __name__ == "__main__":
    cli.run(Config, build, MODES)
