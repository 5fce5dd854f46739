"""Pairs by name, alternating batches with prefixed keys, and dates with separate vocabularies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.pairs.dates import Dates
from data.pairs.multiway import (
    AllPairs,
    DatesByLanguage,
    Rotation,
    add_prefix,
    language_pairs,
    pair_seeds,
    remove_prefix,
    sides_by_language,
)
from data.pairs.parallel import Pairs

quick = settings(deadline=None, derandomize=True, max_examples=25)


def test_pairs_keep_their_order():
    assert list(language_pairs("en-fr+de-fr+de-de").items()) == [
        ("en-fr", ("en", "fr")),
        ("de-fr", ("de", "fr")),
        ("de-de", ("de", "de")),
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("enfr", "'enfr' is not a pair of languages"),
        ("en-fr+", "'' is not a pair"),
        ("en-", "'en-' is not a pair"),
        ("en-fr-de", "'en-fr-de' is not a pair"),
        ("en-fr+de-fr+en-fr", "contains the pair 'en-fr' twice"),
    ],
)
def test_invalid_pairs_are_refused_in_one_line(text, part):
    with pytest.raises(DataError, match=part) as caught:
        language_pairs(text)
    assert "\n" not in str(caught.value)


@quick
@given(st.integers(1, 5), st.integers(0, 40))
def test_pairs_take_turns_and_each_reads_its_own_batches_in_order(count, steps):
    def stream(pair):
        return lambda turn, rows: {"id": np.array([100 * pair + turn])[rows]}

    rotation = Rotation({f"x-{k}": stream(k) for k in range(count)})
    seen = {k: [] for k in range(count)}
    for step in range(steps):
        pair, batch = remove_prefix(rotation(step))
        place = step % count
        assert pair == f"x-{place}"
        seen[place].append(int(batch["id"][0]))
    for place, found in seen.items():
        assert found == [100 * place + turn for turn in range(len(found))]


def test_held_out_batches_come_pair_after_pair_with_their_names():
    sets = {"a-b": [{"x": 1}, {"x": 2}], "c-b": [{"x": 3, "y": 4}]}
    everything = AllPairs(sets)
    assert list(everything) == [{"a-b/x": 1}, {"a-b/x": 2}, {"c-b/x": 3, "c-b/y": 4}]
    assert [remove_prefix(batch) for batch in everything][-1] == ("c-b", sets["c-b"][0])


def test_a_batch_of_two_pairs_is_refused():
    with pytest.raises(ValueError, match=r"of one pair, got keys of \['a-b', 'c-b'\]"):
        remove_prefix({**add_prefix("a-b", {"x": 1}), **add_prefix("c-b", {"x": 1})})


def test_seed_of_a_pair_follows_from_the_run_and_the_pair_alone():
    found = {seed: pair_seeds(seed, ["en-fr", "de-fr", "en-de"]) for seed in range(3)}
    assert len({value for one in found.values() for value in one.values()}) == 9
    assert pair_seeds(1, ["en-de"])["en-de"] == found[1]["en-de"]
    assert all(0 <= value < 2**32 for one in found.values() for value in one.values())


def test_sentences_of_a_language_come_from_both_sides():
    texts = {
        "en-fr": Pairs([("a", "b"), ("c", "d")], [("no", "non")], [], 0),
        "fr-en": Pairs([("e", "f")], [], [], 0),
    }
    sides = sides_by_language(language_pairs("en-fr+fr-en"), texts)
    assert {language: sorted(lines) for language, lines in sides.items()} == {
        "en": ["a", "c", "f"],
        "fr": ["b", "d", "e"],
    }


def test_characters_of_a_side_depend_on_its_language_alone():
    one, other = (
        DatesByLanguage(Dates.from_name(f"dates:{pair}").directions, 0.3)
        for pair in ("en-fr", "fr-de")
    )
    assert one.vocabularies[1] == other.vocabularies[0]
    pairs = one.held_out("validation", 200)
    for (source, target), ids in zip(pairs, one.encode(pairs), strict=True):
        words = [x.decode(side) for x, side in zip(one.vocabularies, ids, strict=True)]
        assert words == [source, target]
    assert set("û") <= set(one.vocabularies[1].symbols) - set(one.vocabularies[0].symbols)
