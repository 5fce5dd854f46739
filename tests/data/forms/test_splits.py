"""Missing sets are made by a hash of each example, so examples never move."""

import hashlib

import pytest

from data.catalogue import DataError
from data.forms.splits import complete, set_of

NAMES = [f"cat/{i}.png" for i in range(400)]


def same(x):
    return x


def test_a_set_is_the_last_digit_of_the_hash():
    for name in NAMES[:50]:
        digit = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
        assert set_of(name) == {0: "test", 1: "validation"}.get(digit, "train")
        assert set_of(name) == set_of(name.encode())


def test_examples_that_are_added_move_no_other():
    before, after = (complete({"train": names}, same, "here") for names in (NAMES[:200], NAMES))
    for split, examples in before.items():
        assert examples == [name for name in after[split] if name in NAMES[:200]]
        assert sum(map(len, after.values())) == len(NAMES)
        assert len(after[split]) == pytest.approx(320 if split == "train" else 40, abs=15)


@pytest.mark.parametrize("given", ["validation", "test"])
def test_one_held_out_set_is_the_test(given):
    sets = complete({"train": NAMES, given: ["x", "y"]}, same, "here")
    assert sets["test"] == ["x", "y"]
    assert sorted(sets["train"] + sets["validation"]) == sorted(NAMES)
    assert {set_of(name) for name in sets["validation"]} == {"validation"}


def test_three_sets_stay_as_they_are_and_empty_ones_are_refused():
    splits = {"test": ["a"], "train": ["b", "c"], "validation": ["d"]}
    sets = complete(splits, same, "here")
    assert sets == splits
    assert list(sets) == ["train", "validation", "test"]
    with pytest.raises(DataError, match=r"^here has only test; needs train$"):
        complete({"test": ["a"]}, same, "here")
    with pytest.raises(DataError, match="set of here is empty: it has 1 examples in all"):
        complete({"train": ["a"]}, same, "here")
