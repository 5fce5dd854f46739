"""Every source makes the rows of one process as it makes the whole batch, and only those."""

import numpy as np
import pytest

from data.buckets import TrainingBuckets
from data.images.augment import Augmentation
from data.images.captioned import HeldOutCaptions, Layout, Pictures, TrainingCaptions
from data.images.detection import Picture
from data.images.labelled import EvaluationBatches, Images, TrainingBatches
from data.images.photos import PhotoBatches, Photos
from data.images.segmented import EvaluationImages, Segmented, TrainingCrops
from data.images.window_batches import EvaluationWindows, TrainingWindows
from data.lines.compose import TrainingLines
from data.lines.digits import DigitImages, longest_line
from data.pairs.batches import IdPairs
from data.pairs.dates import Dates, TrainingDates
from data.pairs.multiway import Rotation
from data.sentences.tag_batches import TaggedIds
from data.series.adding import TrainingSequences
from data.series.labelled import TimeSeries, TrainingSeries
from data.tabular.batches import TrainingArrays
from data.tabular.two_classes import FixedOrder, points_with_margin
from data.text.ngrams import TrainingNgrams
from data.text.skipgram import Blocks, TrainingBlocks, noise_cdf
from data.text.streams import TrainingStreams
from data.text.words import Tokens

BATCH = 6
# of two processes, of three whose rows are not neighbours, and of one for each row
PARTS = [
    [slice(0, 3), slice(3, 6)],
    [np.array([0, 4]), np.array([1, 2]), np.array([3, 5])],
    [np.array([i]) for i in range(BATCH)],
]
RNG = np.random.default_rng(0)
IMAGES = Images(
    RNG.random((20, 9, 8, 1), np.float32),
    np.arange(20, dtype=np.int32),
    tuple("abcdefghijklmnopqrst"),
)
EVERYTHING = Augmentation(1.0, 0.2, 0.1, 0.1, 0.2, True, 3, 2)
PIXELS = RNG.integers(256, size=(20, 24, 30, 3)).astype(np.uint8)
MASKS = list(RNG.integers(3, size=(20, 24, 30)).astype(np.uint8))
SEGMENTED = Segmented(list(PIXELS), MASKS, ("a", "b", "c"))
BOXES = np.array([[2, 3, 14, 12], [10, 10, 28, 22]], np.float32)
PICTURES = [
    Picture(
        "p", image, BOXES[: i % 3], np.arange(i % 3, dtype=np.int32), *np.zeros((2, i % 3), bool)
    )
    for i, image in enumerate(PIXELS)
]
WINDOWS = [np.concatenate([low, low + 6], 1) for low in RNG.uniform(0, 16, (20, 9, 2))]
CAPTIONED = Pictures(PIXELS, [("a",) * (1 + i % 4) for i in range(20)])
LAYOUT = Layout(lambda captions: [[9] * len(caption) for caption in captions], 2, 3)
TEXT = Tokens(np.arange(90, dtype=np.int32) % 5, np.arange(90, dtype=np.int32) // 7)
PAIRS = IdPairs([([4] * (i % 7), [5] * (i % 5)) for i in range(20)])


class Files:
    """Photographs that count how often they are decoded."""

    def __init__(self):
        self.decoded = 0

    def __getitem__(self, index):
        self.decoded += 1
        return {"image": PIXELS[index], "label": index}


def photos(files=None):
    return Photos(files or Files(), tuple(map(str, range(20))), 8, range(20))


def photo_batches(files=None):
    return PhotoBatches(photos(files), BATCH, 0, EVERYTHING, 0.1, np.eye(3, dtype=np.float32))


def series():
    lengths = np.arange(20, dtype=np.int32) % 5 + 1
    x = RNG.random((20, 6, 2), np.float32) * (np.arange(6) < lengths[:, None])[..., None]
    return TimeSeries(x, lengths, lengths, tuple("abcdef"), np.zeros(2), np.ones(2, np.float32))


def tagged():
    ids = [np.full(1 + i % 4, i + 2, np.int32) for i in range(20)]
    return TaggedIds(ids, [np.ones((len(row), 5), np.int32) for row in ids], ids)


def lines():
    return TrainingLines(
        DigitImages(IMAGES.images[:, :8, :, 0], IMAGES.labels), BATCH, 0, (1, 3), longest_line(3)
    )


def dates(name):
    return TrainingDates(Dates.from_name(name, noise=0.5), BATCH, 0)


SOURCES = {
    "adding problem": lambda: TrainingSequences(BATCH, 8, 0),
    "arrays": lambda: TrainingArrays({"x": np.arange(20)}, BATCH, 0),
    "captions": lambda: TrainingCaptions(CAPTIONED, LAYOUT, BATCH, 0, True),
    "crops": lambda: TrainingCrops(SEGMENTED, BATCH, 0, 16, 0.3, True, 0.2),
    "dates": lambda: dates("dates"),
    "fixed order": lambda: FixedOrder(points_with_margin(20, 0.1, 0), BATCH),
    "images": lambda: TrainingBatches(IMAGES, BATCH, 0, EVERYTHING),
    "language pairs": lambda: Rotation({"a-b": dates("dates:de-en"), "b-a": dates("dates:en-de")}),
    "lines": lines,
    "n-grams": lambda: TrainingNgrams(np.arange(60).reshape(20, 3), BATCH, 0),
    "pairs": lambda: TrainingBuckets(PAIRS, BATCH, 0),
    "photographs": photo_batches,
    "series": lambda: TrainingSeries(series(), BATCH, 0, 2, 1.0, 0.1),
    "skip-gram": lambda: TrainingBlocks(
        TEXT, np.ones(5), Blocks(4, 2, 3, noise_cdf(np.ones(5)), 2), BATCH, 0
    ),
    "streams": lambda: TrainingStreams(np.arange(200), BATCH, 4, 0),
    "tags": lambda: TrainingBuckets(tagged(), BATCH, 0),
    "windows": lambda: TrainingWindows(PICTURES, WINDOWS, 32, BATCH, 5, 0.5, 0, True, 0.2),
}
HELD_OUT = {
    "captions": lambda: HeldOutCaptions(CAPTIONED, LAYOUT, BATCH),
    "images": lambda: EvaluationBatches(IMAGES, BATCH),
    "masks": lambda: EvaluationImages(SEGMENTED, BATCH),
    "photographs": lambda: EvaluationBatches(photos(), BATCH),
    "windows": lambda: EvaluationWindows(PICTURES, WINDOWS, 32, BATCH, 5, 0.5),
}


def assert_parts(whole, parts, made):
    """The rows of each process are those of the whole batch, bit for bit."""
    for rows, own in zip(parts, made, strict=True):
        assert own.keys() == whole.keys()
        for name, array in own.items():
            assert array.dtype == whole[name].dtype
            np.testing.assert_array_equal(array, whole[name][rows], err_msg=name)


@pytest.mark.parametrize("name", SOURCES)
def test_rows_of_a_training_batch_do_not_depend_on_the_other_rows(name):
    source = SOURCES[name]()
    for step in (0, 1, 3):  # a batch in the middle, one at the end of an epoch, short buckets
        whole = source(step)
        assert {len(array) for array in whole.values()} == {BATCH}
        for parts in PARTS:
            assert_parts(whole, parts, [source(step, rows) for rows in parts])


@pytest.mark.parametrize("name", HELD_OUT)
def test_rows_of_held_out_batches_do_not_depend_on_the_other_rows(name):
    source = HELD_OUT[name]()
    for parts in PARTS:
        made = zip(source, *(source.with_rows(rows) for rows in parts), strict=True)
        for whole, *own in made:
            assert_parts(whole, parts, own)


def test_a_process_decodes_the_photographs_of_its_rows_alone():
    for count in (1, 2, 3, 6):
        rows = np.arange(BATCH // count)
        files = Files()
        photo_batches(files)(2, rows)
        assert files.decoded == BATCH // count
        files = Files()
        batches = list(EvaluationBatches(photos(files), BATCH).with_rows(rows))
        assert files.decoded == 3 * len(rows) + min(len(rows), 2)  # the last batch has two
        assert [len(batch["image"]) for batch in batches] == [len(rows)] * 4
