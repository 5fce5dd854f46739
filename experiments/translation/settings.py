"""Settings that only --mode=translate reads; experiments/translation/search.py uses them."""

from dataclasses import dataclass
from functools import partial

from train.config import OptimizerConfig, option

translate_option = partial(option, modes=("translate",))


@dataclass(slots=True, kw_only=True)
class SearchConfig(OptimizerConfig):
    """Settings that only --mode=translate reads."""

    n_best: int = translate_option(
        1, "number of hypotheses to print", note="up to beam_size", minimum=1
    )
    required: str = translate_option(
        "",
        "phrases that every translation contains",
        note="separated by semicolons, or by commas if there is no semicolon",
    )
    banned: str = translate_option(
        "", "phrases that no translation contains", note="separated in the same way"
    )
    min_target_length: int = translate_option(
        0, "minimum length of a translation", note="in tokens, including the end", minimum=0
    )
    no_repeat_ngram: int = translate_option(
        0,
        "order of the n-grams that a hypothesis may contain only once",
        note="0: none",
        minimum=0,
    )
    coverage_penalty: float = translate_option(
        0.0, "beta of the coverage penalty", note="needs attention", minimum=0
    )
    groups: int = translate_option(
        1, "number of groups of the beam", note="must divide beam_size", minimum=1
    )
    diversity: float = translate_option(
        0.0, "cost of a token that an earlier group has chosen at the same step", minimum=0
    )
    temperature: float = translate_option(
        0.0, "sampling temperature", note="0: beam search", minimum=0
    )
    top_k: int = translate_option(
        0, "number of most probable tokens to sample from", note="0: all", minimum=0
    )
    top_p: float = translate_option(
        1.0, "total probability of the tokens to sample from", above=0, maximum=1
    )
    min_p: float = translate_option(
        0.0,
        "smallest probability of a token to sample, relative to the largest one",
        minimum=0,
        maximum=1,
    )
