"""--mode=generate: sample a continuation of a prompt."""

import sys

from experiments.language.task import SymbolTask
from train.trained import TrainedRun


def generate(run: TrainedRun) -> None:
    """Continue the prompt with text sampled from the network.

    Each symbol is printed as soon as it is sampled.
    """
    task: SymbolTask = run.task
    vocabulary = task.vocabulary
    if unknown := vocabulary.unknown(run.config.prompt):
        replacement = vocabulary.decode(vocabulary.encode(unknown)[:1].tolist())
        print(
            f"warning: {unknown!r} is not in the vocabulary: each such {task.unit} of the prompt "
            f"is read as {replacement}, the unknown symbol",
            file=sys.stderr,
        )
    for piece in task.write(run.variables):
        print(piece, end="", flush=True)
