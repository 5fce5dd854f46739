"""--mode=cache: what a neural cache gains on held-out texts, without any training."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.text.streams import EvaluationWindows
from experiments.language.task import EVALUATION_WINDOW
from nets.language.neural_cache import NeuralCache, interpolate_cache
from nets.language.recurrent_lm import LanguageModel
from train.config import ConfigError


def cached_nats(model: LanguageModel, variables, ids, size: int, grid):
    """Mean of -log P over all words of a text but the first: (without a cache, with one [L, K]).

    ids: int32 [N]. size: of the cache. grid: K thetas and L shares.
    """
    thetas, shares = map(jnp.array, grid)

    @jax.jit
    def window(variables, batch, carry, cache):
        tokens, targets = batch["tokens"], batch["targets"]
        states, carry = model.apply(variables, tokens, carry, method="states")
        logits = model.apply(variables, states, method="logits")
        log_p = -optax.softmax_cross_entropy_with_integer_labels(logits, targets)[0]
        log_cache, cache = cache.read(states[0].astype(jnp.float32), targets[0], thetas)
        both = interpolate_cache(log_p, log_cache, shares)
        real = batch["mask"][0]
        return ((log_p * real).sum(), (both * real).sum(axis=-1)), carry, cache

    windows = EvaluationWindows(ids, 1, EVALUATION_WINDOW)
    carry, cache = model.initialize_carry(1), NeuralCache.empty(size, model.widths[-1])
    found = []
    for batch in windows:
        sums, carry, cache = window(variables, batch, carry, cache)
        found.append(jax.device_get(sums))
    alone, with_cache = zip(*found, strict=True)
    words = len(ids) - 1
    return -np.sum(alone) / words, -np.sum(with_cache, axis=0, dtype=np.float64) / words


def best(nats, thetas, shares) -> tuple[float, float]:
    """Theta and share of the least of nats [L, K]."""
    row, column = np.unravel_index(np.argmin(nats), np.shape(nats))
    return thetas[column], shares[row]


def cache(task, predict) -> None:
    """Print perplexities without and with a cache whose theta and share are best on validation."""
    config = task.config
    if not (config.cache_thetas and config.cache_shares):
        raise ConfigError("config.cache_thetas and config.cache_shares need a value or more")
    texts: Mapping[str, np.ndarray] = {
        name: task.vocabulary.encode(text) for name, text in task.texts.items()
    }
    grid = (config.cache_thetas, config.cache_shares)
    print(f"{'':<12}{'without':>9}{'with':>9}")
    for name, ids in texts.items():
        alone, nats = cached_nats(task.model, predict.variables, ids, config.cache_size, grid)
        if name == "validation":
            theta, share = best(nats, *grid)
            grid = ((theta,), (share,))
        print(f"{name:<12}{np.exp(alone):>9.2f}{np.exp(np.min(nats)):>9.2f}")
    print(f"the cache: {config.cache_size} words, theta {theta:g}, share {share:g}")
