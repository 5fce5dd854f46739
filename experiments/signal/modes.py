"""Modes of the experiments that transcribe: --mode=transcribe and --mode=decode."""

import os
from pathlib import Path

import numpy as np

from data.catalogue import DataError
from data.lines.transcripts import Transcripts
from data.text.line_files import read_lines
from data.text.ngrams import ngrams
from experiments.common.output import picture_of, save_to
from experiments.signal.alignment import align_lines, draw_alignments
from experiments.signal.task import Transcribe
from nets.language.kneser_ney import fit_kneser_ney, ngram_table
from train.config import ConfigError
from train.trained import TrainedRun

BEAM_SIZE = 16  # of a search, at least
WIDTH_MULTIPLE = 8  # input files are padded to multiples of this, so that few programs are compiled


def load_language_model(task: Transcribe) -> np.ndarray | None:
    """Table of an n-gram model of config.lm_text, None if that is empty; a blank ends each text.

    Raises DataError if a text does not fit the alphabet, ConfigError if the order is too large.
    """
    if not task.config.lm_text:
        return None
    path, order = Path(os.path.expanduser(task.config.lm_text)), task.config.lm_order
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
        raise ConfigError(f"config.lm_order: {error}") from None


def decode(run: TrainedRun) -> None:
    """Compare decoding methods on the held-out lines.

    Prints error rates on the best path, by beam search, and with config.lm_text by beam search with
    a language model.
    """
    task: Transcribe = run.task
    language_model, beam_size = load_language_model(task), max(task.config.beam_size, BEAM_SIZE)
    methods: dict[str, tuple[int, np.ndarray | None]] = {
        "best path": (1, None),
        f"beam {beam_size}": (beam_size, None),
    }
    if language_model is not None:
        methods["with LM"] = (beam_size, language_model)
    for name, batches in run.all_held_out().items():
        outputs = [run.predict(batch) for batch in batches]  # computed once for all methods
        for method, (size, model) in methods.items():
            stored = iter(outputs)
            pairs = task.recognise(lambda _, stored=stored: next(stored), batches, size, model)
            rates = task.error_rates(pairs)
            columns = "  ".join(f"{key} {value:.4f}" for key, value in rates.items())
            print(f"{name:<12}{method:<15}{columns}", flush=True)


def transcribe(run: TrainedRun) -> None:
    """Transcribe input files and draw their alignments.

    Prints the best path and config.n_best hypotheses of a beam search for each file, and draws how
    the best hypothesis is aligned.
    """
    task: Transcribe = run.task
    config, alphabet, language_model = task.config, task.alphabet, load_language_model(task)
    paths = [path for path in config.input.split(",") if path]
    if not paths:
        raise DataError("--mode=transcribe needs --config.input=FILE")
    drawn, lines = picture_of(run, "transcribe"), []
    for path in paths:
        frames = task.read_file(path)
        width = -(-len(frames) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
        outputs, _ = run.predict(Transcripts([frames], [[]]).batch(np.array([0]), (width, 0), 1))
        beam_size = max(config.beam_size, config.n_best, BEAM_SIZE)
        (hypotheses,) = task.search(outputs, beam_size, language_model)
        print(f"{path}\nbest path   {alphabet.decode(task.best_path(outputs)[0])}")
        for score, ids in hypotheses[: config.n_best]:
            name = "log P" if language_model is None else "score"
            print(f"{name}{score:7.2f}  {alphabet.decode(ids)}", flush=True)
        _, best = hypotheses[0]
        batch = Transcripts([frames], [best]).batch(np.array([0]), (width, max(1, len(best))), 1)
        lines += align_lines(alphabet, batch, outputs)
    print(f"picture: {save_to(drawn, draw_alignments(lines, task.frame_kind))}")
