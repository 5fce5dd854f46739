"""Settings, data, network and task shared by the experiments that transcribe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.buckets import EvaluationBuckets, Shape, restore_order
from data.epochs import Batch
from data.lines.compose import Pieces, TrainingLines, held_out_lines
from data.lines.error_rate import edit_distance, error_rate
from data.lines.transcripts import Alphabet, Transcripts
from experiments.common.settings import picture, validation_fraction
from nets.ctc.acoustic_model import Transcriber
from nets.ctc.loss import ctc_greedy, ctc_loss
from nets.recurrent.stack import DeepRecurrent
from nets.recurrent.variants import ALL_CELLS
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment, Mean, Source, Task

MODES = {
    "transcribe": "experiments.signal.modes:transcribe",
    "decode": "experiments.signal.modes:decode",
}
ALPHABET = "alphabet.json"  # name of an asset
DRAWN = 3  # lines whose alignment is drawn
LISTED = 20  # lines with mistakes that are listed


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the lines to transcribe, the network and its training."""

    TINY: ClassVar = {
        "max_frames": 96,
        "heldout_lines": 12,
        "hidden": 8,
        "layers": 1,
        "beam_size": 1,
    }

    min_length: int = option(
        4, "minimum length of a line composed of single symbols", group="data", minimum=1
    )
    max_length: int = option(
        8,
        "maximum length of a training sequence",
        note="of a line composed of single symbols",
        group="data",
        minimum=1,
    )
    max_frames: int = option(
        400,
        "maximum number of frames",
        note="per line; with speech:FOLDER, per training recording",
        group="data",
        minimum=8,
    )
    validation_fraction: float = validation_fraction()
    heldout_lines: int = option(
        300,
        "lines per held-out set",
        note="only where lines are composed of single symbols",
        group="data",
        minimum=1,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 32, "in lines")

    frame_stacking: int = option(1, "number of consecutive frames stacked into one", minimum=1)
    cell: str = option("lstm", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(64, "hidden units per layer", note="per direction", minimum=1)
    layers: int = option(2, "number of recurrent layers", note="bidirectional", minimum=1)
    dropout: float = option(
        0.0, "dropout probability", note="before and after each layer", minimum=0, maximum=0.95
    )
    beam_size: int = option(
        1, "beam size of the search", note="1: the best path", free_in_modes=True, minimum=1
    )

    steps: int = OptimizerConfig.changed("steps", 2000)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 4e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)
    warmup_steps: int = OptimizerConfig.changed("warmup_steps", 100)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    input: str = option("", "input file", note="or several, comma-separated", modes=("transcribe",))
    n_best: int = option(
        3, "number of hypotheses to print", note="per input file", modes=("transcribe",), minimum=1
    )
    picture: str = picture("transcribe")
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


class TranscriptionData(NamedTuple):
    """Data of an experiment that transcribes.

    train: step -> batch. held_out: the sets "validation" and "test". shapes: padded sizes of their
    batches, frames and symbols. assets: those of the run, besides the alphabet. provenance:
    properties that identify the data, besides the held-out sets.
    """

    alphabet: Alphabet
    train: Source
    held_out: Mapping[str, Transcripts]
    shapes: tuple[Shape, ...]
    assets: Assets
    provenance: Mapping[str, Any]


def composed_data(
    config: Config,
    alphabet: Alphabet,
    *,
    train: Pieces,
    validation: Pieces,
    test: Pieces,
    longest: int,
    assets: Assets,
    provenance: Mapping[str, Any],
) -> TranscriptionData:
    """Data of lines that are composed of pieces; each training step draws new lines.

    longest: number of frames of the longest possible line, which config.max_frames may reduce. The
    test lines do not depend on the seed, unless their pieces do. Raises ConfigError if
    config.min_length exceeds config.max_length.
    """
    if config.min_length > config.max_length:
        raise ConfigError(
            f"config.min_length must be at most config.max_length, {config.max_length}"
        )
    counts, frames = (config.min_length, config.max_length), min(config.max_frames, longest)
    return TranscriptionData(
        alphabet=alphabet,
        train=TrainingLines(
            pieces=train,
            batch_size=config.batch_size,
            seed=config.seed,
            counts=counts,
            frames=frames,
        ),
        held_out={
            "validation": held_out_lines(
                validation, config.heldout_lines, counts, frames, config.seed + 1
            ),
            "test": held_out_lines(test, config.heldout_lines, counts, frames, 0),
        },
        shapes=((frames, config.max_length),),
        assets=assets,
        provenance=provenance,
    )


def make_network(
    config: Config, symbols: int, front_end: tuple[nn.Module, ...] = ()
) -> Transcriber:
    """Network for a number of symbols and the blank.

    front_end: layers that read the frames before consecutive ones are stacked.
    """
    encoder = DeepRecurrent(
        hidden=config.hidden,
        layers=config.layers,
        cell=config.cell,
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
    )
    if config.frame_stacking > 1:
        from nets.ctc.frontends import FrameStacking

        front_end = (*front_end, FrameStacking(config.frame_stacking))
    return Transcriber(core=encoder, symbols=symbols + 1, fronts=front_end)


def make_experiment(
    config: Config, make_task: Callable[[Any, Assets], "Transcribe"], data: TranscriptionData
) -> Experiment:
    """Make an experiment of data and its task; the alphabet is one of its assets."""
    assets = {ALPHABET: data.alphabet.to_bytes(), **data.assets}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=data.train,
        evals={
            name: EvaluationBuckets(lines, config.batch_size, data.shapes)
            for name, lines in data.held_out.items()
        },
        provenance={
            "dataset": config.dataset.split(":")[0],
            **data.provenance,
            **{name: len(lines.labels) for name, lines in data.held_out.items()},
            "sha256": data.held_out["test"].sha256,
        },
        assets=assets,
    )


class Transcribe(Task):
    """Mean over lines of -log P(text given frames), a sum over all alignments.

    A line with too few frames for its text counts as "infeasible" and is left out of the loss,
    which is infinite when no line is left.
    read_file: path -> frames [T, D] of an input file of a mode. frame_kind: the way to draw frames,
    one of `experiments.signal.alignment.KINDS`.
    """

    headline = "symbol_error"
    axes: ClassVar = {"x": "b, t, ..."}

    def __init__(
        self,
        config: Config,
        alphabet: Alphabet,
        model: Transcriber,
        read_file: Callable[[str], np.ndarray],
        frame_kind: str,
    ):
        self.config, self.alphabet, self.model = config, alphabet, model
        self.read_file, self.frame_kind = read_file, frame_kind

    def inputs(self, batch):
        """Return the frames and their numbers."""
        return batch["x"], batch["lengths"]

    def means(self, outputs, batch):
        """Loss of a line, in nats, and the fraction of lines without any alignment."""
        logits, lengths = outputs
        loss = ctc_loss(logits, lengths, batch["labels"], batch["label_lengths"])
        mask = batch["mask"]
        return {
            "loss": Mean.from_values(loss.nats, loss.feasible & (mask != 0)),
            "infeasible": Mean.from_values(~loss.feasible, mask),
        }

    def best_path(self, outputs) -> list[list[int]]:
        """Symbols on the best path of each row."""
        labels, lengths = jax.device_get(ctc_greedy(*outputs))
        return [row[:n].tolist() for row, n in zip(labels, lengths, strict=True)]

    def search(
        self, outputs, beam_size: int, language_model: np.ndarray | None = None
    ) -> list[list[tuple[float, list[int]]]]:
        """Hypotheses (score, symbols) of each row, best first, by prefix beam search.

        The score is log P(symbols given frames). With a language model, a table of
        `nets.language.kneser_ney.ngram_table`, config.lm_weight times its log probability and
        config.length_bonus per symbol are added.
        """
        from nets.ctc.prefix_search import ctc_beam_search
        from nets.decoding.step_model import StepModel
        from nets.language.kneser_ney import table_step

        options: dict[str, Any] = {}
        if language_model is not None:
            start = jnp.zeros(len(outputs[0]), jnp.int32)
            options = {
                "language_model": StepModel(table_step, language_model, start, 0, eos_id=0),
                "lm_weight": self.config.lm_weight,
                "length_bonus": self.config.length_bonus,
            }
        beam = jax.device_get(ctc_beam_search(*outputs, beam_size=beam_size, **options))
        rows = zip(beam.labels, beam.lengths, beam.scores, strict=True)
        return [
            [(float(p), ids[:n].tolist()) for ids, n, p in zip(*row, strict=True) if p > -np.inf]
            for row in rows
        ]

    def recognise(
        self,
        predict,
        batches: EvaluationBuckets,
        beam_size: int,
        language_model: np.ndarray | None = None,
    ) -> list[tuple[list[int], list[int]]]:
        """(reference, hypothesis) of every example, in the order of the dataset.

        The hypothesis is the best path if beam_size is 1, otherwise the best result of `search`.
        """

        def hypotheses(batch: Batch) -> list[list[int]]:
            outputs, _ = predict(batch)
            if beam_size == 1:
                return self.best_path(outputs)
            return [row[0][1] for row in self.search(outputs, beam_size, language_model)]

        references = cast(Transcripts, batches.examples).labels
        ordered = restore_order(batches, len(references), hypotheses)
        return [(list(a), b) for a, b in zip(references, ordered, strict=True)]

    def scores(self, predict, batches):
        """Error rates with config.beam_size."""
        return self.error_rates(self.recognise(predict, batches, self.config.beam_size))

    def error_rates(self, pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, float]:
        """Error rates of (reference, hypothesis) pairs, and the fraction without error."""
        words = [[self.alphabet.decode(ids).split() for ids in pair] for pair in pairs]
        return {
            "symbol_error": error_rate(pairs),
            "word_error": error_rate((a, b) for a, b in words),
            "exact": float(np.mean([a == b for a, b in pairs])),
        }

    def figures(self, predict, batches):
        """Draw the alignments of some lines, and list the worst mistakes."""
        from experiments.signal.alignment import align_lines, draw_alignments

        pairs = self.recognise(predict, batches, self.config.beam_size)
        errors = np.array([edit_distance(a, b) for a, b in pairs])
        worst = np.argsort(-errors, kind="stable")[:LISTED]
        listed = "".join(
            f"errors {errors[i]}, symbols {len(pairs[i][0])}\n"
            f"  reference   {self.alphabet.decode(pairs[i][0])}\n"
            f"  hypothesis  {self.alphabet.decode(pairs[i][1])}\n\n"
            for i in worst
            if errors[i]
        )
        wrong = int((errors > 0).sum())
        batch = next(iter(batches))
        outputs, _ = predict(batch)
        lines = align_lines(self.alphabet, batch, outputs)[:DRAWN]
        mistakes = f"{wrong} of {len(pairs)} lines have mistakes\n\n{listed}"
        picture = {"alignment": draw_alignments(lines, self.frame_kind)} if lines else {}
        return {"mistakes": mistakes, **picture}
