"""Beam search on a GPU: ours and the usual eager loop in PyTorch, as in bench.decoding.

python -m bench.gpu_search --save=FOLDER/search.json
"""

import importlib
import importlib.util
from functools import partial
from typing import Any

import jax
import numpy as np

from bench import decoding
from bench.gpu_lines import Line, Lines, milliseconds
from bench.pytorch_search import eager_search
from bench.timing import Run, in_turn


def measure(rounds: int) -> list[Line]:
    """Lines of both searches; their scores must agree."""
    variables, source, lengths = decoding.random_batch(0)
    problem = decoding.PROBLEM
    runs: dict[str, Run] = {
        name: partial(decoding.ours, decoding.step, variables, source, lengths, count)
        for name, count in (("ours", problem.beams), ("ours, the best", 1))
    }
    if importlib.util.find_spec("torch"):
        torch: Any = importlib.import_module("torch")
        torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
        runs["PyTorch"] = eager_search(problem, variables["params"], source, lengths)
        scores: Any = jax.device_get(runs["ours"]())
        np.testing.assert_allclose(runs["PyTorch"](), scores.scores, rtol=1e-3)
    return milliseconds(in_turn(runs, rounds), 1, "ours")


def main() -> None:
    """Measure the searches with float32 products."""
    lines = Lines(__doc__)
    jax.config.update("jax_default_matmul_precision", "float32")
    lines.add({}, lambda: measure(lines.rounds))


if __name__ == "__main__":
    main()
