"""What experiments that transcribe share: settings, the task, its search and scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.buckets import EvaluationBuckets, Shape, TrainingBuckets, in_order
from data.catalogue import DataError
from data.epochs import Batch
from data.lines.compose import Pieces, TrainingLines, held_out_lines
from data.lines.error_rate import edit_distance, error_rate
from data.lines.transcripts import Alphabet, Transcripts
from nets.ctc.acoustic_model import Transcriber
from nets.ctc.frontends import FrameStacking
from nets.ctc.loss import ctc_align, ctc_greedy, ctc_loss
from nets.recurrent.stack import UNITS, DeepRecurrent
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Experiment, Mean, Task

if TYPE_CHECKING:
    from experiments.signal.alignment import Seen

MODES = {
    "transcribe": "experiments.signal.modes:transcribe",
    "decode": "experiments.signal.modes:decode",
}
VALIDATION = 2  # word of the seed, so that no two streams meet
SHOWN = 3  # held-out lines whose alignment is drawn
MISTAKES = 20  # that are listed


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of lines to transcribe, of the network and of its training."""

    TINY: ClassVar = {
        "max_frames": 96,
        "heldout_lines": 12,
        "hidden": 8,
        "layers": 1,
        "beam_size": 1,
    }

    min_length: int = option(
        4, "minimum length of a composed line, in symbols", group="data", minimum=1
    )
    max_length: int = option(
        8,
        "maximum length of a training sequence",
        note="in symbols of a composed line",
        group="data",
        minimum=1,
    )
    max_frames: int = option(
        400,
        "maximum number of frames",
        note="of a line; speech:FOLDER: of a training recording",
        group="data",
        minimum=8,
    )
    validation_fraction: float = option(
        0.1,
        "fraction of the training data held out for validation",
        group="data",
        above=0,
        maximum=0.5,
    )
    heldout_lines: int = option(300, "composed lines in each held-out set", group="data", minimum=1)
    batch_size: int = OptimizerConfig.changed("batch_size", 32, "in lines")

    frame_stacking: int = option(1, "consecutive frames stacked into one", minimum=1)
    cell: str = option("lstm", "recurrent cell", choices=UNITS)
    hidden: int = option(64, "hidden units per layer", note="per direction", minimum=1)
    layers: int = option(2, "recurrent layers", note="bidirectional", minimum=1)
    dropout: float = option(
        0.0, "dropout probability", note="between layers", minimum=0, maximum=0.95
    )
    beam_size: int = option(1, "beam size of the search", note="1: the best path", minimum=1)

    steps: int = OptimizerConfig.changed("steps", 2000)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)
    warmup_steps: int = OptimizerConfig.changed("warmup_steps", 100)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    input: str = option("", "input files", note="separated by commas", modes=("transcribe",))
    n_best: int = option(
        3, "hypotheses to print", note="per input file", modes=("transcribe",), minimum=1
    )
    picture: str = option("alignment.png", "image file to write", modes=("transcribe",))
    lm_text: str = option(
        "", "text file to train an n-gram language model on", modes=("transcribe", "decode")
    )
    lm_order: int = option(
        4, "order of the n-gram language model", modes=("transcribe", "decode"), minimum=1
    )
    lm_weight: float = option(
        0.5, "weight of the language model's log P", modes=("transcribe", "decode"), minimum=0
    )
    length_bonus: float = option(
        0.0, "score added per symbol, in nats", modes=("transcribe", "decode")
    )


def divided(count: int, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pieces or recordings for training, and for validation.

    Raises DataError when there are not two.
    """
    if count < 2:
        raise DataError(f"to train and to validate needs two pieces or recordings, got {count}")
    order = np.random.default_rng((config.seed, VALIDATION)).permutation(count)
    size = max(1, round(count * config.validation_fraction))
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
    far as its pieces are. Raises ConfigError when config.min_length is above config.max_length.
    """
    if config.min_length > config.max_length:
        raise ConfigError(
            f"config.min_length must be at most config.max_length, {config.max_length}"
        )
    counts, frames = (config.min_length, config.max_length), min(config.max_frames, frames)
    sets = {"validation": (validation, config.seed + 1), "test": (test, 0)}
    return {
        "train": TrainingLines(train, config.batch_size, config.seed, counts, frames),
        "held_out": {
            name: held_out_lines(pieces, config.heldout_lines, counts, frames, seed)
            for name, (pieces, seed) in sets.items()
        },
        "shapes": ((frames, config.max_length),),
    }


def of_recordings(config: Config, parts: Mapping[str, Transcripts]) -> dict[str, Any]:
    """Batches of sequences that are there, by "train", "validation" and "test"."""
    train = TrainingBuckets(parts["train"], config.batch_size, config.seed, config.max_frames)
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
    stacked = (FrameStacking(config.frame_stacking),) if config.frame_stacking > 1 else ()
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
        return {
            "loss": Mean.from_values(loss.nats, mask),
            "infeasible": Mean.from_values(~loss.feasible, mask),
        }

    def best_path(self, outputs) -> list[list[int]]:
        """Symbols of the best path of each row."""
        labels, lengths = jax.device_get(ctc_greedy(*outputs))
        return [row[:n].tolist() for row, n in zip(labels, lengths, strict=True)]

    def search(self, outputs, beam_size: int, language=None) -> list[list[tuple[float, list[int]]]]:
        """(score, symbols) of the best transcripts of each row that a beam finds.

        The score is log P of the frames, or with a language, a table of
        `nets.language.ngram_table`, also what that says, and the length, as the config weighs them.
        """
        from nets.ctc.prefix_search import SymbolModel, ctc_beam_search
        from nets.language.kneser_ney import table_step

        options: dict[str, Any] = {}
        if language is not None:
            start = jnp.zeros(len(outputs[0]), jnp.int32)
            options = {
                "language_model": SymbolModel(table_step, language, start, bos_id=0, eos_id=0),
                "language_weight": self.config.lm_weight,
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
        found = in_order(batches, len(right), answer)
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
        from experiments.signal.alignment import draw_alignments

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

    def align(self, batch: Batch, outputs) -> list["Seen"]:
        """How the text of each real row of a batch lies along its frames, where it can."""
        from experiments.signal.alignment import Seen

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
