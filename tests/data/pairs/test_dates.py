"""Dates are written as by Babel, have one correct answer, and are held out by day."""

import calendar
import re
from datetime import date

import babel.dates
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.buckets import EvaluationBuckets
from data.catalogue import DataError
from data.pairs.batches import IdPairs
from data.pairs.dates import (
    LANGUAGES,
    SPLITS,
    Dates,
    TrainingDates,
    forms,
    noisy,
    ordinals,
    target_form,
)

quick = settings(deadline=None, derandomize=True, max_examples=25)
days = st.dates(date(1800, 1, 1), date(2199, 12, 31))
EVERY_DAY = [date.fromordinal(date(2000, 1, 1).toordinal() + i) for i in range(366)]


def test_there_are_twelve_languages_and_several_forms_of_each():
    assert len(set(LANGUAGES)) == 12
    for language in LANGUAGES:
        assert 3 < len({form.pattern for form in forms(language)}) == len(forms(language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_is_as_babel_writes_it(language):
    found = {target_form(language), *forms(language)}

    @quick
    @given(days)
    def check(day):
        for form in found:
            text = form.write(day)
            assert text == babel.dates.format_date(day, form.pattern, language)
            assert str(day.year) in text
            assert len(text) <= len(form.longest)
            assert set(text) | set(text.upper()) | set(text.lower()) <= form.characters
        assert target_form(language).write(day) == babel.dates.format_date(day, "long", language)

    check()


@pytest.mark.parametrize("language", ["en", "de", "sv"])
def test_forms_are_those_of_babel_but_two_digit_years(language):
    day = date(2034, 5, 6)
    written = {form.write(day) for form in forms(language)}
    for width in ("full", "long", "medium", "short"):
        text = babel.dates.format_date(day, width, language)
        assert (text in written) == ("2034" in text)
    assert babel.dates.format_skeleton("yMMMEd", day, locale=language) in written
    assert babel.dates.format_skeleton("yMd", day, locale=language) in written


@quick
@given(days)
def test_iso_is_that_of_the_standard(day):
    assert target_form("iso").write(day) == day.isoformat()
    assert [form.write(day) for form in forms("iso")] == [day.isoformat()]


@pytest.mark.parametrize("language", [*LANGUAGES, "iso"])
def test_a_source_determines_its_date(language):
    meaning = {}
    for day in EVERY_DAY:
        for form in forms(language):
            for kind in range(4):
                # case and spaces carry no information about a date
                text = " ".join(noisy(form.write(day), kind).lower().split())
                assert meaning.setdefault(text, day) == day


def test_some_sources_would_be_another_date_without_their_language():
    meaning = {}
    for language in LANGUAGES:
        for day in EVERY_DAY:
            for form in forms(language):
                meaning.setdefault(form.write(day), set()).add(day)
    assert max(map(len, meaning.values())) > 1


def test_splits_are_all_days_once_in_their_shares():
    parts = [ordinals(split) for split in SPLITS]
    first, last = date(1800, 1, 1).toordinal(), date(2199, 12, 31).toordinal()
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(first, last + 1))
    count = last + 1 - first
    for part, share in zip(parts, (0.9, 0.05, 0.05), strict=True):
        assert abs(len(part) / count - share) < 0.002
        # no year, month or day of the week is favoured
        for key in ("year", "month", "isoweekday"):
            values = [getattr(date.fromordinal(int(i)), key) for i in part]
            values = [value() if callable(value) else value for value in values]
            counts = np.unique(values, return_counts=True)[1]
            assert counts.min() > 0.5 * counts.mean() - 10


def splitmix64(number):
    """Output of this number of the generator seeded with 0, in Python's own integers."""
    z = number * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_the_split_of_a_date_is_its_hash():
    assert splitmix64(1) == 0xE220A8397B1DCDAF  # as published
    for place, split in enumerate(SPLITS):
        for day in ordinals(split)[::9].tolist():
            assert max(splitmix64(day) % 20 - 17, 0) == place


def test_no_held_out_date_is_trained_on_in_any_form_or_direction():
    dates = Dates.from_name("dates:en+de+iso-iso,de-iso", noise=0.3)
    train = TrainingDates(dates, 500, 3)
    seen = {target for step in range(20) for _, target in train.pairs(step)}
    assert len(seen) > 9000
    held_out = [{target for _, target in dates.held_out(split, 3000)} for split in SPLITS[1:]]
    assert list(map(len, held_out)) == [3000, 3000]
    assert not held_out[0] & held_out[1]
    assert not seen & (held_out[0] | held_out[1])


def test_pairs_are_a_function_of_seed_and_step():
    dates = Dates.from_name("dates", noise=0.5)
    one = TrainingDates(dates, 6, 5)
    pairs = [one.pairs(step) for step in (7, 0, 3)]
    again = TrainingDates(Dates.from_name("dates", noise=0.5), 6, 5)
    assert [again.pairs(step) for step in (7, 0, 3)] == pairs
    assert TrainingDates(dates, 6, 6).pairs(7) != pairs[0] != pairs[1]
    for key, array in one(7).items():
        np.testing.assert_array_equal(array, again(7)[key])
    assert dates.held_out("test", 9) == dates.held_out("test", 9)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("dates:de-iso", {""}),
        ("dates:de-en,de-iso", {"<2en>", "<2iso>"}),
        ("dates:en-fr,de-fr", {"<en>", "<de>"}),
        ("dates:en-fr,de-fr,en-de", {"<en><2fr>", "<de><2fr>", "<en><2de>"}),
        ("dates", {f"<{language}>" for language in LANGUAGES}),
    ],
)
def test_tags_resolve_ambiguous_languages(name, tags):
    dates = Dates.from_name(name)
    pairs = TrainingDates(dates, 300, 0).pairs(0)
    found = {source[: source.rfind(">") + 1] for source, _ in pairs}
    assert found == tags
    vocabulary = dates.vocabulary
    for pair, (source, target) in zip(pairs, dates.encode(pairs), strict=True):
        tag = pair[0][: pair[0].rfind(">") + 1]
        assert len(source) == len(pair[0]) - len(tag) + tag.count("<")
        assert min(source + target) > 3
        assert (vocabulary.decode(source), vocabulary.decode(target)) == pair


def day_of(text, language):
    """Date of a text in the long form of a language."""
    day, year = sorted(int(number) for number in re.findall(r"\d+", text))
    months = [month for month in range(1, 13) if day <= calendar.monthrange(year, month)[1]]
    found = [date(year, month, day) for month in months]
    return next(day for day in found if target_form(language).write(day) == text)


def test_source_and_target_are_the_same_date_in_the_direction_of_the_tags():
    dates = Dates.from_name("dates:en-fr,de-fr,en-de")
    counts = dict.fromkeys(dates.directions, 0)
    for text, target in TrainingDates(dates, 300, 0).pairs(0):
        source, other, written = re.fullmatch(r"<(\w\w)><2(\w\w)>(.*)", text).groups()
        counts[source, other] += 1
        day = day_of(target, other)
        assert written in {form.write(day) for form in forms(source)}
    assert min(counts.values()) > 70


@quick
@given(seed=st.integers(0, 99), noise=st.sampled_from([0, 0.5, 1]), batch_size=st.integers(1, 9))
def test_batches_have_one_shape_with_room_for_all(seed, noise, batch_size):
    dates = Dates.from_name("dates:pt+cs-hu,fi-iso", noise)
    train = TrainingDates(dates, batch_size, seed)
    batch = train(seed)
    assert (batch["source"].shape[1], batch["targets"].shape[1]) == dates.shape
    assert (batch["source_lengths"] > 1).all()
    for row, pair in enumerate(train.pairs(seed)):
        read = [dates.vocabulary.decode(batch[key][row]) for key in ("source", "targets")]
        assert tuple(read) == pair
        assert (batch["source"][row] != 1).all()


def test_the_widest_dates_fit():
    dates = Dates.from_name("dates:de+pt-es,hu-iso", noise=1)
    widest = [0, 0]
    for source, target in dates.directions:
        for day in EVERY_DAY[::3]:
            texts = [noisy(form.write(day), kind) for form in forms(source) for kind in range(4)]
            widest[0] = max(widest[0], *(len(text) + 3 for text in texts))  # two tags, the end
            widest[1] = max(widest[1], len(target_form(target).write(day)) + 1)
    for width, room in zip(widest, dates.shape, strict=True):
        assert width <= room < width + 8


def test_noise_is_in_its_share_of_the_sources_alone():
    def different(noise):
        clean, dirty = (
            TrainingDates(Dates.from_name("dates:de-en", x), 2000, 0).pairs(0) for x in (0, noise)
        )
        assert [target for _, target in clean] == [target for _, target in dirty]
        kinds = [
            [noisy(text, kind) for kind in range(4)].index(other)
            for (text, _), (other, _) in zip(clean, dirty, strict=True)
        ]
        return [kinds.count(kind) / len(kinds) for kind in range(4)]

    assert different(0) == [1, 0, 0, 0]
    _, capitals, small, spaces = different(0.3)
    # a date in digits is the same in capitals and in small letters
    assert 0.09 < spaces < 0.11
    assert 0.02 < capitals < 0.1
    assert 0.02 < small < 0.1
    assert noisy("3. Mai", 3) == "  3.  Mai  "


def test_held_out_dates_go_through_the_buckets():
    dates = Dates.from_name("dates")
    pairs = dates.held_out("validation", 50)
    batches = list(EvaluationBuckets(IdPairs(dates.encode(pairs)), 16, (dates.shape,)))
    assert {batch["source"].shape for batch in batches} == {(16, dates.shape[0])}
    assert sorted(i for batch in batches for i in batch["index"])[-50:] == list(range(50))


def test_more_dates_than_there_are_cannot_be_held_out():
    count = len(ordinals("test"))
    with pytest.raises(
        DataError, match=f"^test has only {count} dates, {count + 1} were requested$"
    ):
        Dates.from_name("dates").held_out("test", count + 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dates:dee-iso", "no language 'dee' (did you mean de?); available: cs, de, en"),
        ("dates:de-xx", "no language 'xx'; available: cs"),
        ("dates:de", "'de' is not a direction between languages, as in dates:de+en-iso,de-fr"),
        ("dates:de-en,", "'' is not a direction between languages"),
    ],
)
def test_invalid_directions_are_refused_in_one_line(name, message):
    with pytest.raises(DataError) as caught:
        Dates.from_name(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
