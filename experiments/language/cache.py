"""--mode=cache: perplexity of held-out texts with a neural cache, which needs no training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.text.streams import EvaluationWindows
from experiments.language.task import EVALUATION_WINDOW
from nets.language.neural_cache import NeuralCache, interpolate_cache
from nets.language.recurrent_lm import LanguageModel
from train.config import ConfigError
from train.trained import TrainedRun


def cached_nats(model: LanguageModel, variables, ids, size: int, grid):
    """Mean of -log P over the words of a text except the first, without and with a cache.

    ids: int32 [N]. size: words in the cache. grid: K thetas and L shares. Returns a scalar without
    a cache, and [L, K] with one.
    """
    thetas, shares = map(jnp.array, grid)

    @jax.jit
    def score_window(variables, batch, carry, cache):
        tokens, targets = batch["tokens"], batch["targets"]
        states, carry = model.apply(variables, tokens, carry, method="states")
        logits = model.apply(variables, states, method="logits")
        log_p = -optax.softmax_cross_entropy_with_integer_labels(logits, targets)[0]
        log_cache, cache = cache.read(states[0].astype(jnp.float32), targets[0], thetas)
        both = interpolate_cache(log_p, log_cache, shares)
        mask = batch["mask"][0]
        return ((log_p * mask).sum(), (both * mask).sum(axis=-1)), carry, cache

    windows = EvaluationWindows(ids, 1, EVALUATION_WINDOW)
    carry, cache = model.initialize_carry(1), NeuralCache.empty(size, model.widths[-1])
    sums = []
    for batch in windows:
        window_sums, carry, cache = score_window(variables, batch, carry, cache)
        sums.append(jax.device_get(window_sums))
    without, with_cache = zip(*sums, strict=True)
    words = len(ids) - 1
    return -np.sum(without) / words, -np.sum(with_cache, axis=0, dtype=np.float64) / words


def best(nats, thetas, shares) -> tuple[float, float]:
    """Theta and share with the lowest of nats [L, K]."""
    row, column = np.unravel_index(np.argmin(nats), np.shape(nats))
    return thetas[column], shares[row]


def cache(run: TrainedRun) -> None:
    """Print held-out perplexities with and without a neural cache.

    Theta and share are those with the lowest perplexity on the validation text.
    """
    config, model = run.config, run.task.model
    if not (config.cache_thetas and config.cache_shares):
        raise ConfigError("config.cache_thetas and config.cache_shares need at least one value")
    grid = (config.cache_thetas, config.cache_shares)
    print(f"{'':<12}{'without':>9}{'with':>9}")
    for name, windows in run.all_held_out().items():
        without, nats = cached_nats(model, run.variables, windows.ids, config.cache_size, grid)
        if name == "validation":
            theta, share = best(nats, *grid)
            grid = ((theta,), (share,))
        print(f"{name:<12}{np.exp(without):>9.2f}{np.exp(np.min(nats)):>9.2f}")
    print(f"cache of {config.cache_size} words, theta {theta:g}, share {share:g}")
