"""Series become an experiment without leaks between its sets; accuracy on delayed series."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import wavfile

from data.catalogue import DataError
from data.series.labelled import EvaluationSeries, TimeSeries
from experiments.signal.evidence import draw_evidence
from experiments.signal.shift import accuracy_by_offset
from experiments.spoken_digits import SIDE, Config, build, load_series, series_images, shift
from nets.convolution.temporal import TimeConvNet, TimeConvolutions
from tests.experiments.opened import opened
from train.rundir import write_config


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two speakers whose digits are tones of two pitches."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for digit, hertz in enumerate((400, 1500)):
        for speaker in ("ann", "bob"):
            for index in range(12):
                time = np.arange(rng.integers(1600, 3200)) / 8000
                tone = np.sin(2 * np.pi * hertz * time) + rng.normal(0, 0.1, len(time))
                path = folder / f"{digit}_{speaker}_{index}.wav"
                wavfile.write(path, 8000, (8000 * tone).astype(np.int16))
    return folder


def config_of(folder, **changes):
    sizes = {"mel_bands": 8, "max_frames": 60, "filters": 4, "conv_layers": 2, "batch_size": 16}
    return Config(dataset=f"waves:{folder}", figures_at=(), eval_every=99, **sizes, **changes)


def test_every_recording_is_in_one_set_and_the_test_set_is_the_published_one(recordings):
    experiment = build(config_of(recordings))
    counts = {name: experiment.provenance[name] for name in ("train", "validation", "test")}
    assert counts == {"train": 25, "validation": 3, "test": 20}
    sources = [experiment.train.source, *(batches.source for batches in experiment.evals.values())]
    rows = [source.x for source in sources]
    assert len(np.unique(np.concatenate(rows).reshape(48, -1), axis=0)) == 48
    other = build(config_of(recordings, seed=1))
    assert other.provenance["sha256"] == experiment.provenance["sha256"]
    first, second = (e.evals["validation"].source.x for e in (experiment, other))
    assert not np.array_equal(first, second)


def test_a_speaker_can_be_held_out(recordings):
    series, test = load_series(config_of(recordings, test_split="speaker:bob"))
    names = [path.stem.split("_")[1] for path in sorted(Path(recordings).iterdir())]
    assert test.tolist() == [name == "bob" for name in names]
    valid = np.arange(60) < series.lengths[~test][:, None]
    np.testing.assert_allclose(series.x[~test][valid].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("dataset", "test_split", "message"),
    [
        ("strokse", "standard", r"no dataset 'strokse' \(did you mean strokes\?\); available:"),
        ("strokes", "speaker:ann", "test_split=speaker:ann needs recordings"),
        ("strokes:x", "standard", "there is no dataset 'strokes:x'"),
        ("waves:", "standard", "needs a folder with"),
    ],
)
def test_unknown_data_is_reported_in_one_line(dataset, test_split, message):
    with pytest.raises(DataError, match=message) as caught:
        load_series(Config(dataset=dataset, test_split=test_split))
    assert "\n" not in str(caught.value)


def test_mode_shift_prints_and_draws_each_run(recordings, tmp_path, monkeypatch, capsys):
    own = config_of(recordings, max_delay=5, picture=str(tmp_path / "shift.png"), compare_runs="b")
    other = config_of(recordings, readout="flatten", max_delay=0)
    loaded = []

    def run_of(config, predict):
        experiment = build(config)
        return opened(experiment.task, predict, config=config, evals=experiment.evals)

    def load(build, make_task, config, workdir):
        loaded.append(str(workdir))
        return run_of(config, fails_if_delayed)

    def always_correct(batch):
        return np.eye(2)[batch["label"]], ()

    def fails_if_delayed(batch):
        """Correct unless a series begins with two equal steps, which are rest."""
        delayed = (batch["x"][:, 0] == batch["x"][:, 1]).all(axis=1)
        return np.eye(2)[np.where(delayed, 1 - batch["label"], batch["label"])], ()

    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "b", other)
    monkeypatch.setattr("train.trained.load_run", load)
    shift(run_of(own, always_correct))
    assert loaded == ["b"]
    first, second, *lines = capsys.readouterr().out.splitlines()
    assert first == second == "18 of 20 test series leave room for a delay of 24 steps"
    offsets = ["0", "3", "6", "9", "12", "15", "18", "21", "24"]
    assert lines[0] == "this run: max, trained with delays of up to 5"
    assert [line.split() for line in lines[1:10]] == [[offset, "1.0000"] for offset in offsets]
    assert lines[10] == "b: flatten, trained with delays of up to 0"
    assert lines[11].split() == ["0", "1.0000"]
    assert [line.split() for line in lines[12:-1]] == [[o, "0.0000"] for o in offsets[1:]]
    assert lines[-1] == f"picture: {tmp_path / 'shift.png'}"
    assert (tmp_path / "shift.png").stat().st_size > 1000


def test_accuracy_by_offset_delays_series_and_counts_only_those_that_fit(capsys):
    """The prediction is the first step of a series: correct where that is its label."""
    x = np.zeros((4, 20, 2), np.float32)
    lengths = np.array([12, 5, 8, 13], np.int32)  # the last one has no room for 8
    x[np.arange(20) < lengths[:, None]] = 1
    nothing = np.zeros(2, np.float32)
    labels = np.array([0, 2, 2, 0], np.int32)
    test = TimeSeries(x, lengths, labels, ("a", "b", "c"), nothing, nothing)

    def predict(batch):
        start = batch["x"][..., 0].argmax(axis=1)
        return np.eye(9)[start], ()

    accuracy = accuracy_by_offset(predict, test)
    assert accuracy == {0: 1 / 3, 1: 0, 2: 2 / 3, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0}
    assert capsys.readouterr().out.startswith(
        "3 of 4 test series leave room for a delay of 8 steps"
    )
    with pytest.raises(DataError, match="no test series has 8 of its 20 steps free"):
        accuracy_by_offset(predict, test.subset(np.array([3])))


def test_a_pen_path_is_drawn_where_the_pen_is_down():
    points = np.array([[[-1, -1], [1, 1], [9, 9]]], np.float32)  # the last is padding
    image = series_images(points, np.array([2]))[0, ..., 0]
    np.testing.assert_array_equal(image, np.eye(SIDE)[::-1])
    steps = np.array([[[0, 0, 1], [3, 0, 1], [0, 3, 0], [-3, 0, 1]]], np.float32)
    image = series_images(steps, np.array([4]))[0, ..., 0]
    assert image[[0, -1]].all()  # along the ground, up in the air, and back
    assert not image[1:-1].any()
    assert not series_images(steps, np.array([0])).any()


def test_a_spectrogram_is_drawn_with_low_bands_below_and_dark_padding():
    x = np.arange(24, dtype=np.float32).reshape(1, 6, 4) + 1
    image = series_images(x, np.array([5]))[0, ..., 0]
    assert image.shape == (8, 6)
    assert image[-1].tolist() == image[-2].tolist() == [1, 5, 9, 13, 17, 1]
    assert image[0].tolist() == [4, 8, 12, 16, 20, 1]


def test_evidence_is_drawn_for_real_series_only():
    """Class 0 has no series, but it is the label of the padding rows."""
    series = TimeSeries(
        np.ones((3, 12, 2), np.float32),
        np.array([12, 9, 6], np.int32),
        np.array([2, 1, 2], np.int32),
        ("zero", "one", "two"),
        *np.zeros((2, 2), np.float32),
    )
    (batch,) = EvaluationSeries(series, 8)
    network = TimeConvNet(TimeConvolutions((2,), size=3), 3)
    variables = network.init(jax.random.key(0), batch["x"], batch["lengths"])
    figure = draw_evidence(network, variables, batch, series.classes)
    titles = [axis.get_title() for axis in figure.axes]
    assert [title for title in titles if title] == ["one", "two"]
