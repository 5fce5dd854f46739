"""Constraints on sequences of tags by their scheme, and warnings about unusual tags."""

import sys
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from data.catalogue import DataError
from data.sentences.schemes import OUTSIDE, may_follow
from data.sentences.tag_batches import Vocabularies
from data.sentences.tagged import TaggedCorpus
from nets.sentence.linear_crf import Chain


class Allowed(NamedTuple):
    """Which tags may follow one another: bool [K, K] from row to column, first and last [K]."""

    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def restrict(self, chain: Chain) -> Chain:
        """Chain with potentials -inf for what is not allowed."""
        potentials = {
            name: jnp.where(allowed, getattr(chain, name), -jnp.inf)
            for name, allowed in self._asdict().items()
        }
        return chain._replace(**potentials)


def allowed_tags(vocabularies: Vocabularies) -> Allowed:
    """Constraints of the tagging scheme; texts of characters may begin and end inside a span."""
    tags, scheme = vocabularies.tags, vocabularies.scheme
    pairs = [[may_follow(scheme, before, tag) for tag in tags] for before in tags]
    outer = [(may_follow(scheme, OUTSIDE, tag), may_follow(scheme, tag, OUTSIDE)) for tag in tags]
    ends = np.array(outer) | vocabularies.by_character
    return Allowed(np.array(pairs), ends[:, 0], ends[:, 1])


def check_corpus(corpus: TaggedCorpus, constrained: bool) -> None:
    """Print a warning for each unusual thing about the tags of a corpus, on standard error.

    constrained: whether only the sequences of tags that the scheme allows are possible. If so,
    raises DataError for the first training sentence that violates the scheme.
    """
    lines = []
    tags, wrong = set(corpus.tags), corpus.wrong_tag
    if wrong and any(tag[:2] in ("B-", "I-", "E-", "S-") for tag in tags):
        lines.append(f"spans are not scored, because {wrong} does not mark a span as the others do")
    for tag, (count, place) in sorted(corpus.unseen.items()):
        lines.append(
            f"{count} words of the test, the first in {place}, have the tag {tag}, which training "
            "and validation lack: they count as wrong, and the loss leaves out their sentences"
        )
    if constrained:
        if found := corpus.violations("train"):
            raise DataError(
                f"config.constrain_tags: {corpus.scheme} does not allow {found[0]}, and the tags "
                f"of {len(found)} training sentences in all"
            )
        lines += [
            f"{len(found)} sentences of the {split} set have tags that {corpus.scheme} does not "
            f"allow, first {found[0]}: the loss leaves them out"
            for split in ("validation", "test")
            if (found := corpus.violations(split))
        ]
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)
