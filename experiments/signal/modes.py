"""Modes of the experiments that transcribe: a user's own files, and held-out lines by a search."""

from pathlib import Path

import numpy as np

from data.buckets import EvaluationBuckets
from data.catalogue import DataError
from data.lines.transcripts import Transcripts
from data.text.corpus import read_lines
from data.text.ngrams import ngrams
from experiments.common.pictures import save
from experiments.signal.alignment import draw_alignments
from experiments.signal.task import Transcribe
from nets.language.kneser_ney import fit_kneser_ney, ngram_table
from train.config import ConfigError
from train.evaluate import Predictor

BEAM = 16  # prefixes of a search, at least
SHARE_OF_WIDTH = 8  # widths of what a user gives are multiples of it: few programs to compile


def language_of(task: Transcribe) -> np.ndarray | None:
    """Table of the n-grams of config.language, None without one; the blank ends a text.

    Raises DataError for what is no text of the alphabet, ConfigError for too large an order.
    """
    if not task.config.language:
        return None
    path, order = Path(task.config.language).expanduser(), task.config.order
    texts = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            texts.append(np.array([0, *task.alphabet.encode(line), 0]))
        except DataError as error:
            raise DataError(f"line {number} of {path}: {error}") from None
    if not texts:
        raise DataError(f"{path} has no texts")
    grams = np.concatenate([ngrams(text, order, 0) for text in texts])
    try:
        return ngram_table(fit_kneser_ney(grams, len(task.alphabet.symbols) + 1))
    except ValueError as error:
        raise ConfigError(f"config.order: {error}") from None


def decode(task: Transcribe, predict: Predictor) -> None:
    """Print error rates of held-out lines on the best path, by a search, and with a language."""
    language, beam_size = language_of(task), max(task.config.beam_size, BEAM)
    ways: dict[str, tuple[int, np.ndarray | None]] = {
        "best path": (1, None),
        f"beam {beam_size}": (beam_size, None),
    }
    if language is not None:
        ways["with language"] = (beam_size, language)
    for name, part in task.corpus.held_out.items():
        batches = EvaluationBuckets(part, task.config.batch_size, task.corpus.shapes)
        outputs = [predict(batch) for batch in batches]
        for way, how in ways.items():
            read = iter(outputs)  # the network reads each batch once, for all ways
            rates = task.error_rates(task.pairs(lambda _, read=read: next(read), batches, *how))
            shown = "  ".join(f"{key} {value:.4f}" for key, value in rates.items())
            print(f"{name:<12}{way:<15}{shown}", flush=True)


def transcribe(task: Transcribe, predict: Predictor) -> None:
    """Print the best path and the best transcripts of files, and draw how they lie along them."""
    config, alphabet, language = task.config, task.alphabet, language_of(task)
    paths = [path for path in config.input.split(",") if path]
    if not paths:
        raise DataError("--mode=transcribe needs --config.input=FILE")
    seen = []
    for path in paths:
        frames = task.corpus.read(path)
        width = -(-len(frames) // SHARE_OF_WIDTH) * SHARE_OF_WIDTH
        outputs, _ = predict(Transcripts([frames], [[]]).batch(np.array([0]), (width, 0), 1))
        (best,) = task.search(outputs, max(config.beam_size, config.n_best, BEAM), language)
        print(f"{path}\nbest path   {alphabet.decode(task.best_path(outputs)[0])}")
        for score, ids in best[: config.n_best]:
            name = "log P" if language is None else "score"
            print(f"{name}{score:7.2f}  {alphabet.decode(ids)}", flush=True)
        text = Transcripts([frames], [best[0][1]])
        batch = text.batch(np.array([0]), (width, max(1, len(best[0][1]))), 1)
        seen += task.align(batch, outputs)
    save(draw_alignments(seen, task.corpus.kind), config.picture)
    print(f"drawn in {config.picture}")


MODES = {"transcribe": transcribe, "decode": decode}
