"""Dates as people write them in many languages, translated to another language or to ISO 8601.

An endless source of sentence pairs with one correct answer each. The formats are those of the
locale data of Babel (CLDR); the years are 1800 to 2199. Dates are split 90/5/5, so no held-out date
occurs in training, in any format or language. Formats with a two-digit year are excluded because
they are ambiguous.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

import babel
import babel.dates
import numpy as np

from ..buckets import Shape
from ..catalogue import DataError, nearest
from ..epochs import ALL, Batch, Rows
from ..text.vocabulary import SymbolVocabulary
from .batches import make_batch, widths
from .parallel import Pair

LANGUAGES = ("cs", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "pl", "pt", "sv")
ISO = "iso"
SPLITS = ("train", "validation", "test")
YEARS = range(1800, 2200)
TRAINING, HELD_OUT = 0, 1  # first elements of the seeds, so that no two random streams coincide

WIDTHS = ("full", "long", "medium", "short")
SKELETONS = ("yMMMd", "yMMMEd", "yMEd", "yMd")
TWO_DIGIT_YEAR = re.compile(r"(?<!y)yy(?!y)")
TAG_OR_CHARACTER = re.compile(r"<2?[a-z]+>|.", re.DOTALL)
EXAMPLE = "dates:de+en-iso,de-fr"

# first letter of a pattern field -> attribute of a date, and a date for each of its values
FIELDS = {
    "y": ("year", [date(year, 1, 1) for year in YEARS]),
    "M": ("month", [date(2000, month, 1) for month in range(1, 13)]),
    "d": ("day", [date(2000, 1, day) for day in range(1, 32)]),
    "E": ("isoweekday", [date(2000, 1, day) for day in range(3, 10)]),
    "c": ("isoweekday", [date(2000, 1, day) for day in range(3, 10)]),
}


def field_value(day: date, field: str) -> int:
    """Value of a pattern field for a date: its year, month, day or day of the week."""
    value = getattr(day, FIELDS[field[0]][0])
    return value() if callable(value) else value


@lru_cache(maxsize=256)
def field_texts(language: str, field: str) -> dict[int, str]:
    """Text of each value of a pattern field, by Babel: 5 -> "Mai" for ("de", "MMM")."""
    samples = FIELDS[field[0]][1]
    return {
        field_value(day, field): babel.dates.format_date(day, field, language) for day in samples
    }


@dataclass(frozen=True)
class Form:
    """A date pattern of CLDR in a language, such as "EEEE, d. MMMM y" in "de".

    It gives the same text as Babel's format_date, but from cached texts of its fields.
    """

    language: str
    pattern: str

    @cached_property
    def _template(self) -> str:
        return str(babel.dates.parse_pattern(self.pattern).format)

    @cached_property
    def _texts(self) -> dict[str, dict[int, str]]:
        fields = re.findall(r"%\((\w+)\)s", self._template)
        return {field: field_texts(self.language, field) for field in fields}

    def write(self, day: date) -> str:
        """Text of a date in this form."""
        texts = self._texts
        return self._template % {field: texts[field][field_value(day, field)] for field in texts}

    @cached_property
    def longest(self) -> str:
        """The longest text of each field, an upper bound on the length of a date."""
        return self._template % {
            field: max(texts.values(), key=len) for field, texts in self._texts.items()
        }

    @cached_property
    def characters(self) -> frozenset[str]:
        """Characters of all dates in this form, in upper and lower case."""
        text = self.longest + "".join(t for texts in self._texts.values() for t in texts.values())
        return frozenset(text + text.upper() + text.lower())


@lru_cache(maxsize=64)
def forms(language: str) -> tuple[Form, ...]:
    """Source forms of dates in a language, or the single form of "iso"."""
    if language == ISO:
        return (Form("en", "y-MM-dd"),)
    locale = babel.Locale.parse(language)
    patterns = [locale.date_formats[width].pattern for width in WIDTHS]
    patterns += [locale.datetime_skeletons[skeleton].pattern for skeleton in SKELETONS]
    unambiguous = [pattern for pattern in patterns if not TWO_DIGIT_YEAR.search(pattern)]
    return tuple(Form(language, pattern) for pattern in dict.fromkeys(unambiguous))


@lru_cache(maxsize=64)
def target_form(language: str) -> Form:
    """Target form of dates: the long one of a language, or that of ISO 8601."""
    if language == ISO:
        return forms(ISO)[0]
    return Form(language, babel.Locale.parse(language).date_formats["long"].pattern)


@lru_cache(maxsize=8)
def ordinals(split: str) -> np.ndarray:
    """Proleptic Gregorian ordinals int64 of the dates of a split, 90/5/5 by a hash of each date.

    The hash of ordinal n is output n of SplitMix64 (Steele et al. 2014) with seed 0, which is the
    same on every machine and in every version of NumPy.
    """
    days = np.arange(date(YEARS[0], 1, 1).toordinal(), date(YEARS[-1], 12, 31).toordinal() + 1)
    z = days.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    remainder = (z ^ (z >> np.uint64(31))) % np.uint64(20)
    return days[np.clip(remainder.astype(np.int64) - 17, 0, 2) == SPLITS.index(split)]


class DateSymbols(SymbolVocabulary):
    """Vocabulary of language tags and characters."""

    @staticmethod
    def split(text: str) -> list[str]:
        """Tags and characters of a text."""
        return TAG_OR_CHARACTER.findall(text)


@dataclass(frozen=True)
class Dates:
    """Dates to be translated in some directions (source language, target language).

    A source begins with a tag such as "<de>" when there are several source languages, since 3/4 in
    one of them is 4/3 in another, and with a tag such as "<2fr>" (Johnson et al. 2017) when there
    are several target languages. noise: fraction of the sources in upper case, in lower case or
    with doubled spaces.
    """

    directions: tuple[tuple[str, str], ...]
    noise: float = 0.0

    @classmethod
    def from_name(cls, name: str, noise: float = 0.0) -> "Dates":
        """Dates by name: "dates" (all languages to ISO 8601) or as in "dates:de+en-iso,de-fr".

        Raises DataError for an unknown language.
        """
        text = name.removeprefix("dates").removeprefix(":") or f"{'+'.join(LANGUAGES)}-{ISO}"
        directions = []
        for direction in text.split(","):
            sources, _, target = direction.partition("-")
            if not target:
                raise DataError(
                    f"{direction!r} is not a direction between languages, as in {EXAMPLE}"
                )
            directions += [(_checked(source), _checked(target)) for source in sources.split("+")]
        return cls(tuple(dict.fromkeys(directions)), noise)

    @cached_property
    def _tags(self) -> dict[tuple[str, str], str]:
        several = [len(set(languages)) > 1 for languages in zip(*self.directions, strict=True)]
        return {
            (source, target): f"<{source}>" * several[0] + f"<2{target}>" * several[1]
            for source, target in self.directions
        }

    @cached_property
    def _forms(self) -> list[Form]:
        """All forms of sources and targets."""
        source_forms = [form for source, _ in self.directions for form in forms(source)]
        return [*source_forms, *(target_form(target) for _, target in self.directions)]

    @cached_property
    def vocabulary(self) -> DateSymbols:
        """Vocabulary of all tags and characters that may occur, a function of the directions."""
        tags = {tag for text in self._tags.values() for tag in DateSymbols.split(text)}
        characters = frozenset().union(*(form.characters for form in self._forms))
        return DateSymbols((*sorted(tags), *sorted(characters)))

    @cached_property
    def shape(self) -> Shape:
        """Widths (S, T) that fit all pairs, rounded up to multiples of 4."""
        longest = [
            (self._tags[source, target] + noisy(form.longest, 3), target_form(target).longest)
            for source, target in self.directions
            for form in forms(source)
        ]
        source, target = widths(self.encode(longest)).max(axis=0)
        return -(-int(source) // 4) * 4, -(-int(target) // 4) * 4

    def encode(self, pairs: Iterable[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of pairs."""
        sources, targets = zip(*pairs, strict=True)
        encode = self.vocabulary.encode
        return list(zip(encode(sources), encode(targets), strict=True))

    def pairs(self, days: np.ndarray, rng: np.random.Generator, rows: Rows = ALL) -> list[Pair]:
        """Source and target of dates by their ordinals, in random directions and forms.

        rows: the dates whose pairs are made; the random numbers are drawn for all.
        """
        count = len(days)
        directions = rng.integers(len(self.directions), size=count)
        shares = rng.random(count)
        kinds = np.where(rng.random(count) < self.noise, rng.integers(1, 4, size=count), 0)
        pairs = []
        draws = (numbers[rows] for numbers in (days, directions, shares, kinds))
        for ordinal, direction, share, kind in zip(*draws, strict=True):
            source, target = self.directions[direction]
            day, choices = date.fromordinal(int(ordinal)), forms(source)
            text = noisy(choices[int(share * len(choices))].write(day), int(kind))
            pairs.append((self._tags[source, target] + text, target_form(target).write(day)))
        return pairs

    def held_out(self, split: str, count: int) -> list[Pair]:
        """Pairs of `count` distinct dates of "validation" or "test", the same for every run.

        Raises DataError when the split has fewer dates.
        """
        days = ordinals(split)
        if count > len(days):
            raise DataError(f"{split} has only {len(days)} dates, {count} were requested")
        rng = np.random.default_rng((HELD_OUT, SPLITS.index(split)))
        return self.pairs(rng.permutation(days)[:count], rng)


@dataclass(frozen=True)
class TrainingDates:
    """step -> batch of new dates, a function of (seed, step), with the keys of `batches`."""

    dates: Dates
    batch_size: int
    seed: int

    def pairs(self, step: int, rows: Rows = ALL) -> list[Pair]:
        """Source and target texts of the rows of a step."""
        rng = np.random.default_rng((TRAINING, self.seed, step))
        return self.dates.pairs(rng.choice(ordinals("train"), self.batch_size), rng, rows)

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        pairs = self.pairs(step, rows)
        return make_batch(self.dates.encode(pairs), self.dates.shape, len(pairs))


def noisy(text: str, kind: int) -> str:
    """Text unchanged (0), in upper case (1), in lower case (2), or with doubled spaces (3)."""
    return (text, text.upper(), text.lower(), f" {text} ".replace(" ", "  "))[kind]


def _checked(language: str) -> str:
    available = (*LANGUAGES, ISO)
    if language not in available:
        hint = nearest(language, available)
        raise DataError(
            f"there is no language {language!r}{hint}; available: {', '.join(available)}"
        )
    return language
