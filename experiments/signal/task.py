"""What experiments that transcribe share: settings, the task, its search and scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.buckets import EvaluationBuckets, Shape, TrainingBuckets, restore_order
from data.catalogue import DataError
from data.epochs import Batch
from data.lines.compose import Pieces, TrainingLines, held_out_lines
from data.lines.error_rate import edit_distance, error_rate
from data.lines.transcripts import Alphabet, Transcripts
from experiments.signal.alignment import Seen, draw_alignments
from nets.ctc.acoustic_model import Transcriber
from nets.ctc.frontends import FrameStacking
from nets.ctc.loss import ctc_align, ctc_greedy, ctc_loss
from nets.ctc.prefix_search import SymbolModel, ctc_beam_search
from nets.language.kneser_ney import table_step
from nets.recurrent.stack import UNITS, DeepRecurrent
from train.config import Config as SharedConfig
from train.config import ConfigError, changed, option
from train.optimizer import make_optimizer
from train.task import Experiment, Mean, Task

VALIDATION = 2  # word of the seed, so that no two streams meet
SHOWN = 3  # held-out lines whose alignment is drawn
MISTAKES = 20  # that are listed


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of lines that are drawn, of the network, and of its training."""

    shortest: int = option(4, "fewest symbols of a line that is drawn", minimum=1)
    longest: int = option(8, "most symbols of it", minimum=1)
    frames: int = option(400, "most frames of a line; of speech:FOLDER, in training", minimum=8)
    validation: float = option(0.1, "share of what is not the test", above=0, maximum=0.5)
    lines: int = option(300, "held-out lines that are drawn, of validation and test", minimum=1)

    stack: int = option(1, "frames that are read as one", minimum=1)
    cell: str = option("lstm", "", choices=UNITS)
    hidden: int = option(64, "units of a layer and direction", minimum=1)
    layers: int = option(2, "bidirectional layers", minimum=1)
    dropout: float = option(0.0, "between layers", minimum=0, maximum=0.95)
    beam_size: int = option(1, "prefixes of a search for the scores; 1: best path", minimum=1)

    language: str = option("", "modes: file of texts like those to find", volatile=True)
    order: int = option(4, "of its n-grams of symbols", minimum=1, volatile=True)
    language_weight: float = option(0.5, "of their log P in a search", minimum=0, volatile=True)
    length_bonus: float = option(0.0, "of each symbol beside them, nats", volatile=True)
    input: str = option("", "files that --mode=transcribe reads, by commas", volatile=True)
    n_best: int = option(3, "transcripts of each that it prints", minimum=1, volatile=True)
    picture: str = option("alignment.png", "file that it draws", volatile=True)

    steps: int = changed("steps", 2000)
    batch_size: int = option(32, "lines in a step", minimum=1)
    learning_rate: float = changed("learning_rate", 4e-3)
    clip_norm: float = changed("clip_norm", 1.0)
    warmup_steps: int = changed("warmup_steps", 100)
    figures_at: tuple[float, ...] = changed("figures_at", (1.0,))


def divided(count: int, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pieces or recordings for training, and for validation.

    Raises DataError when there are not two.
    """
    if count < 2:
        raise DataError(f"to train and to validate needs two pieces or recordings, got {count}")
    order = np.random.default_rng((config.seed, VALIDATION)).permutation(count)
    size = max(1, round(count * config.validation))
    return order[size:], order[:size]


class Corpus(NamedTuple):
    """What is transcribed.

    train: step -> batch. held_out: "validation" and "test". shapes: widths of their batches, frames
    and symbols. read: frames [T, D] of a file that a user gives; kind: how they are drawn.
    """

    alphabet: Alphabet
    train: Callable[[int], Batch]
    held_out: Mapping[str, Transcripts]
    shapes: tuple[Shape, ...]
    read: Callable[[str], np.ndarray]
    kind: str
    found: Mapping[str, Any]


def of_lines(
    config: Config, train: Pieces, validation: Pieces, test: Pieces, frames: int
) -> dict[str, Any]:
    """Batches of lines that are drawn from pieces: what `Corpus` needs of them.

    frames: those of the longest line that there may be. The test's are the same for every seed, as
    far as its pieces are. Raises ConfigError when config.shortest is above config.longest.
    """
    if config.shortest > config.longest:
        raise ConfigError(f"config.shortest must be at most longest, {config.longest}")
    counts, frames = (config.shortest, config.longest), min(config.frames, frames)
    sets = {"validation": (validation, config.seed + 1), "test": (test, 0)}
    return {
        "train": TrainingLines(train, config.batch_size, config.seed, counts, frames),
        "held_out": {
            name: held_out_lines(pieces, config.lines, counts, frames, seed)
            for name, (pieces, seed) in sets.items()
        },
        "shapes": ((frames, config.longest),),
    }


def of_recordings(config: Config, parts: Mapping[str, Transcripts]) -> dict[str, Any]:
    """Batches of sequences that are there, by "train", "validation" and "test"."""
    train = TrainingBuckets(parts["train"], config.batch_size, config.seed, config.frames)
    return {
        "train": train,
        "held_out": {name: parts[name] for name in ("validation", "test")},
        "shapes": train.shapes,
    }


def make_network(config: Config, symbols: int, fronts: tuple[nn.Module, ...] = ()) -> Transcriber:
    """Network for some symbols and the blank; fronts read the frames before they are stacked."""
    core = DeepRecurrent(
        config.hidden,
        config.layers,
        config.cell,
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
    )
    stacked = (FrameStacking(config.stack),) if config.stack > 1 else ()
    return Transcriber(core, symbols + 1, (*fronts, *stacked))


def make_experiment(
    config: Config, corpus: Corpus, fronts: tuple[nn.Module, ...] = ()
) -> Experiment:
    """Put the batches, the task and the network together; fronts as of `make_network`."""
    evals = {
        name: EvaluationBuckets(part, config.batch_size, corpus.shapes)
        for name, part in corpus.held_out.items()
    }
    found = {
        "dataset": config.dataset,
        **corpus.found,
        **{name: len(part.labels) for name, part in corpus.held_out.items()},
        "sha256": corpus.held_out["test"].sha256,
    }
    model = make_network(config, len(corpus.alphabet.symbols), fronts)
    task = Transcribe(config, corpus, model)
    return Experiment(task, make_optimizer(config), corpus.train, evals, found)


class Transcribe(Task):
    """Mean of -log P(text given frames), the sum over all alignments, over the lines.

    A line that is too short for its text counts as "infeasible", and has no loss.
    """

    headline = "symbol_error"

    def __init__(self, config: Config, corpus: Corpus, model: Transcriber):
        self.config, self.corpus, self.model = config, corpus, model
        self.alphabet = corpus.alphabet

    def inputs(self, batch, carry):
        """Frames, and how many of them are real."""
        return batch["x"], batch["lengths"]

    def means(self, outputs, batch):
        """Nats of a line, and the share of lines that have no alignment."""
        logits, lengths = outputs
        loss = ctc_loss(logits, lengths, batch["labels"], batch["label_lengths"])
        mask = batch["mask"]
        return {"loss": Mean.of(loss.nats, mask), "infeasible": Mean.of(~loss.feasible, mask)}

    def best_path(self, outputs) -> list[list[int]]:
        """Symbols of the best path of each row."""
        labels, lengths = jax.device_get(ctc_greedy(*outputs))
        return [row[:n].tolist() for row, n in zip(labels, lengths, strict=True)]

    def search(self, outputs, beam_size: int, language=None) -> list[list[tuple[float, list[int]]]]:
        """(score, symbols) of the best transcripts of each row that a beam finds.

        The score is log P of the frames, or with a language, a table of
        `nets.language.ngram_table`, also what that says, and the length, as the config weighs them.
        """
        options: dict[str, Any] = {}
        if language is not None:
            start = jnp.zeros(len(outputs[0]), jnp.int32)
            options = {
                "language_model": SymbolModel(table_step, language, start, bos_id=0, eos_id=0),
                "lm_weight": self.config.language_weight,
                "length_bonus": self.config.length_bonus,
            }
        found = jax.device_get(ctc_beam_search(*outputs, beam_size=beam_size, **options))
        rows = zip(found.labels, found.lengths, found.scores, strict=True)
        return [
            [(float(p), ids[:n].tolist()) for ids, n, p in zip(*row, strict=True) if p > -np.inf]
            for row in rows
        ]

    def pairs(
        self, predict, batches: EvaluationBuckets, beam_size: int, language=None
    ) -> list[tuple[list[int], list[int]]]:
        """(symbols that are right, symbols found) of all examples, in their order.

        They are found on the best path, or with a beam_size above 1 by `search`.
        """

        def answer(batch: Batch) -> list[list[int]]:
            outputs, _ = predict(batch)
            if beam_size == 1:
                return self.best_path(outputs)
            return [best[0][1] for best in self.search(outputs, beam_size, language)]

        right = cast(Transcripts, batches.examples).labels
        found = restore_order(batches, len(right), answer)
        return [(list(a), b) for a, b in zip(right, found, strict=True)]

    def scores(self, predict, batches):
        """Error rates by the search that the config asks for."""
        return self.error_rates(self.pairs(predict, batches, self.config.beam_size))

    def error_rates(self, pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, float]:
        """Error rates of symbols and of words, and the share of lines without an error."""
        texts = [[self.alphabet.decode(ids).split() for ids in pair] for pair in pairs]
        return {
            "symbol_error": error_rate(pairs),
            "word_error": error_rate((a, b) for a, b in texts),
            "exact": float(np.mean([a == b for a, b in pairs])),
        }

    def figures(self, predict, batches):
        """Return alignments of some lines, and the worst mistakes as a text."""
        pairs = self.pairs(predict, batches, self.config.beam_size)
        errors = np.array([edit_distance(a, b) for a, b in pairs])
        worst = np.argsort(-errors, kind="stable")[:MISTAKES]
        shown = "".join(
            f"{errors[i]} of {len(pairs[i][0])}  right  {self.alphabet.decode(pairs[i][0])}\n"
            f"        found  {self.alphabet.decode(pairs[i][1])}\n\n"
            for i in worst
            if errors[i]
        )
        wrong = int((errors > 0).sum())
        batch = next(iter(batches))
        outputs, _ = predict(batch)
        seen = self.align(batch, outputs)[:SHOWN]
        mistakes = f"{wrong} of {len(pairs)} lines have a mistake\n\n{shown}"
        picture = {"alignment": draw_alignments(seen, self.corpus.kind)} if seen else {}
        return {"mistakes": mistakes, **picture}

    def align(self, batch: Batch, outputs) -> list[Seen]:
        """How the text of each real row of a batch lies along its frames, where it can."""
        logits, lengths = outputs
        aligned = ctc_align(logits, lengths, batch["labels"], batch["label_lengths"])
        rows = jax.device_get((jax.nn.softmax(logits, axis=-1), lengths, aligned.place))
        found = []
        for row, (p, steps, places) in enumerate(zip(*rows, strict=True)):
            ids = batch["labels"][row, : batch["label_lengths"][row]].tolist()
            if batch["mask"][row] and set(range(len(ids))) <= set(places[:steps].tolist()):
                symbols = [self.alphabet.decode([i]) for i in ids]
                x = batch["x"][row, : batch["lengths"][row]]
                title = f"text: {self.alphabet.decode(ids)}"
                found.append(Seen(x, p[:steps], places[:steps], ids, symbols, title))
        return found
