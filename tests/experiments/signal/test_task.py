"""Transcription: scores, figures, modes, and sets without leaks between them."""

import math
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from data.catalogue import DataError
from data.lines.digits import digit_images
from data.lines.transcripts import Alphabet, Transcripts
from experiments import handwriting_ctc, speech_ctc
from experiments.signal.alignment import AlignedLine, draw_alignments
from experiments.signal.modes import decode, load_language_model, transcribe
from experiments.signal.task import Transcribe, TranscriptionData, make_experiment
from tests.experiments.opened import opened
from train.config import ConfigError
from train.drawing import PALETTE
from train.task import host_values

LETTERS = Alphabet((" ", "a", "b"))
SMALL = {"heldout_lines": 6, "batch_size": 2, "hidden": 4, "layers": 1, "eval_every": 99}
TEXTS = ["ab a", "b", "aab"]


class Scripted:
    """A predictor with a given path for each example, by the first number in its x."""

    def __init__(self, paths, symbols):
        self.paths, self.symbols = paths, symbols

    def __call__(self, batch):
        paths = [
            self.paths[int(x)] if n else []
            for x, n in zip(batch["x"][:, 0, 0], batch["lengths"], strict=True)
        ]
        rows = [[*path, *[0] * (6 - len(path))] for path in paths]
        logits = 20.0 * jax.nn.one_hot(jnp.array(rows), self.symbols + 1)
        return (logits, jnp.array([len(path) for path in paths])), ()


def three_texts(**settings):
    """An experiment with TEXTS of twelve frames each, whose model is not used."""
    frames = [np.full((12, 2), i, np.float32) for i in range(3)]
    data = TranscriptionData(
        alphabet=LETTERS,
        train=None,
        held_out={"test": Transcripts(frames, [LETTERS.encode(text) for text in TEXTS])},
        shapes=((12, 4),),
        assets={},
        provenance={},
    )

    def make_task(config, assets):
        alphabet = Alphabet.from_bytes(assets["alphabet.json"])
        return Transcribe(config, alphabet, None, lambda _: frames[0], "columns")

    return make_experiment(handwriting_ctc.Config(**SMALL, **settings), make_task, data)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_scores_match_hypotheses_with_their_references(beam_size):
    experiment = three_texts(beam_size=beam_size)
    test = experiment.evals["test"]
    correct = [[2, 3, 1, 2], [3, 3], [2, 0, 2, 3]]
    assert experiment.task.scores(Scripted(correct, 3), test) == {
        "symbol_error": 0,
        "word_error": 0,
        "exact": 1,
    }
    wrong = [[2, 1, 2], [3, 3], [2, 2, 3, 1, 3]]  # "a a", "b", "ab b"
    scores = experiment.task.scores(Scripted(wrong, 3), test)
    assert scores["symbol_error"] == pytest.approx((1 + 0 + 2) / 8)
    assert scores["word_error"] == pytest.approx((1 + 0 + 2) / 4)
    assert scores["exact"] == pytest.approx(1 / 3)


def test_lines_that_are_too_short_are_counted_and_left_out_of_the_loss():
    experiment = three_texts()
    batch = experiment.evals["test"].examples.batch(np.arange(3), (12, 4), 4)
    outputs, _ = Scripted([[2, 3, 1, 2], [3], [2, 2]], 3)(batch)

    def loss(logits):
        means = experiment.task.means((logits, outputs[1]), batch)
        return means["loss"].value, means

    (_, means), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(outputs[0])
    assert float(means["infeasible"].value) == pytest.approx(1 / 3)  # "aab" in two frames
    assert means["loss"].weight == 2
    assert 0 <= float(means["loss"].value) < 1e-3
    assert np.isfinite(gradient).all()
    assert not gradient[2:].any()
    # all are too short: nothing can be answered, and nothing is learned
    none = experiment.task.means((outputs[0], 0 * outputs[1]), batch)
    assert host_values(none) == {"loss": math.inf, "infeasible": 1.0}
    assert float(none["loss"].value) == 0


def test_mode_transcribe_prints_hypotheses_and_draws(tmp_path, capsys):
    picture = tmp_path / "alignment.png"
    task = three_texts(input="one,two", picture=str(picture), n_best=2).task
    transcribe(opened(task, Scripted([[2, 3, 3, 0, 1, 2]], 3)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["one", "best path   ab a"]
    assert re.fullmatch(r"log P *-?0\.00  ab a", lines[2])
    assert re.fullmatch(r"log P *-\d+\.\d\d  [ab ]+", lines[3])
    assert lines[4] == "two"
    assert lines[8:] == [f"picture: {picture}"]
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(DataError, match=r"needs --config.input=FILE"):
        transcribe(opened(three_texts().task, Scripted([], 3)))


class Ambiguous(Scripted):
    """A predictor for which b is slightly more probable than a wherever either is scripted."""

    def __call__(self, batch):
        (logits, lengths), carry = super().__call__(batch)
        either = jnp.array([-9.0, -9.0, 1.0, 1.1])
        return (jnp.where(logits[..., 2:].any(-1, keepdims=True), either, logits), lengths), carry


def test_a_language_model_resolves_ambiguous_symbols(tmp_path, capsys):
    texts = tmp_path / "texts.txt"
    texts.write_text("ab a\nab ab\na\n" * 20)
    picture = str(tmp_path / "alignment.png")
    settings = {"lm_text": str(texts), "lm_order": 3, "lm_weight": 1.0}
    experiment = three_texts(input="one", picture=picture, n_best=1, **settings)
    predict = Ambiguous([[2, 0, 2, 1, 2], [3], [2, 0, 2]], 3)
    run = opened(experiment.task, predict, evals=experiment.evals)
    transcribe(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "best path   bb b"
    assert re.fullmatch(r"score +-\d+\.\d\d  ab a", lines[2])
    decode(run)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows] == [
        ["test", "best", "path"],
        ["test", "beam", "16"],
        ["test", "with", "LM"],
    ]
    # references: ab a, b, aab; hypotheses without the model: bb b, b, bb; with it: ab a, a, ab
    assert [float(row[4]) for row in rows] == [4 / 8, 4 / 8, 2 / 8]


def test_a_language_model_needs_texts_of_the_alphabet_and_a_small_order(tmp_path):
    texts = tmp_path / "texts.txt"
    assert load_language_model(three_texts().task) is None
    texts.write_text("ab\nabc\n")
    with pytest.raises(DataError, match=r"line 2 of .*texts.txt: symbol 'c' of 'abc' is not in"):
        load_language_model(three_texts(lm_text=str(texts)).task)
    texts.write_text("ab\n")
    with pytest.raises(
        ConfigError,
        match=r"config.lm_order: a table of 30-grams of 4 symbols has \d+ entries, more",
    ):
        load_language_model(three_texts(lm_text=str(texts), lm_order=30).task)
    texts.write_text("")
    with pytest.raises(DataError, match=r"texts.txt has no texts"):
        load_language_model(three_texts(lm_text=str(texts)).task)
    with pytest.raises(DataError, match="there is no file"):
        load_language_model(three_texts(lm_text=str(tmp_path / "none")).task)


def test_figures_show_alignments_and_list_the_worst_mistakes_first():
    experiment = three_texts()
    test = experiment.evals["test"]
    figures = experiment.task.figures(Scripted([[2, 0, 1, 0, 2], [3], [0] * 4], 3), test)
    text = figures["mistakes"]
    assert text.startswith("2 of 3 lines have mistakes\n\nerrors 3, symbols 3\n  reference   aab\n")
    assert "errors 1, symbols 4\n  reference   ab a\n  hypothesis  a a\n" in text
    axes = figures["alignment"].axes[:4]  # before the scales
    assert [axis.get_title(loc="left") for axis in axes[::2]] == ["text: ab a", "text: b"]
    assert [child.get_text() for child in axes[1].texts] == list("ab a")
    short = experiment.task.figures(Scripted([[2, 3], [], [2, 2]], 3), test)
    assert set(short) == {"mistakes"}  # none has an alignment


def aligned_line(kind):
    """Twelve frames, six steps: one symbol at steps 1 and 2, another one at step 4."""
    width = 3 if kind == "pen" else 5
    x = np.random.default_rng(0).uniform(0, 1, (12, width)).round()
    posteriors = np.full((6, 3), 1 / 3)
    return AlignedLine(x, posteriors, np.array([-1, 0, 0, -1, 1, -1]), [1, 2], "ab", "text: ab")


@pytest.mark.parametrize("kind", ["columns", "spectrogram", "pen"])
def test_a_symbol_is_drawn_at_its_frames(kind):
    line = aligned_line(kind)
    assert [line.span(position) for position in (0, 1)] == [(2, 6), (8, 10)]
    above, below, *scales = draw_alignments([line], kind).axes
    assert [text.get_text() for text in above.texts] == ["a", "b"]
    assert [(text.get_text(), text.get_position()[0]) for text in below.texts] == [
        ("a", 4),
        ("b", 9),
    ]
    assert below.get_ylim() == (0, 1)
    assert len({line.get_linestyle() for line in below.lines[1:]}) == 2
    if kind == "pen":
        colours = [segment.get_color() for segment in above.lines]
        lifted = line.x[:, 2] > 0
        assert [colour == "0.85" for colour in colours] == lifted.tolist()
        assert {colours[i] for i in range(2, 6) if not lifted[i]} <= {PALETTE[0]}
    else:
        assert above.images[0].get_extent()[:2] == [0, 12]
        assert [text.get_position()[0] for text in above.texts] == [4, 9]
    expected = ["standardized log energy"] if kind == "spectrogram" else []
    assert [scale.get_ylabel() for scale in scales] == expected


def test_training_validation_and_test_have_different_digits(tmp_path):
    config = handwriting_ctc.Config(**SMALL)
    experiment = handwriting_ctc.build(config)
    train = experiment.train.pieces
    assert train.distort
    assert len(train.labels) == experiment.provenance["digits"] == 1293
    held_out = {image.tobytes() for image in digit_images("")["test"].images}
    assert not held_out & {image.tobytes() for image in train.images}
    again = handwriting_ctc.build(handwriting_ctc.Config(**SMALL, seed=1))
    assert again.provenance["sha256"] == experiment.provenance["sha256"]
    digests = [e.evals["validation"].examples.sha256 for e in (experiment, again)]
    assert digests[0] != digests[1]
    path = tmp_path / "line.png"
    Image.fromarray(np.eye(20, 40, dtype=np.uint8) * 255).save(path)
    assert experiment.task.read_file(str(path)).shape == (16, 12)


def test_pens_give_lines_of_movements():
    experiment = handwriting_ctc.build(
        handwriting_ctc.Config(**SMALL, dataset="pens", max_frames=60)
    )
    batch = experiment.train(0)
    assert batch["x"].shape == (2, 60, 3)
    assert experiment.task.frame_kind == "pen"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Sixteen recordings with transcripts: two speakers whose words are tones, the second lower."""
    folder = tmp_path_factory.mktemp("recordings")
    texts, rng = [], np.random.default_rng(0)
    for word, hertz in (("no", 500), ("yes", 1500)):
        for speaker, factor in (("ann", 1.0), ("bob", 0.5)):
            for index in range(3, 7):
                name = f"{word}_{speaker}_{index}"
                time = np.arange(1200 + 100 * index) / 8000
                tone = 8000 * np.sin(2 * np.pi * hertz * factor * time)
                tone += rng.normal(0, 50, len(time))
                wavfile.write(folder / f"{name}.wav", 8000, tone.astype(np.int16))
                texts.append(f"{name}\t{word.title()} {index}\n")
    (folder / "transcripts.tsv").write_text("".join(texts))
    return folder


def test_words_are_joined_to_lines_and_a_speaker_can_be_held_out(recordings):
    config = speech_ctc.Config(
        **SMALL,
        dataset=f"spoken_lines:{recordings}",
        test_split="speaker:bob",
        mel_bands=8,
        deltas=True,
    )
    experiment = speech_ctc.build(config)
    assert experiment.task.alphabet.decode([2, 1]) == "yes no"
    assert experiment.train(0)["x"].shape == (2, 400, 24)
    lines = experiment.evals["test"].examples
    assert {len(labels) for labels in lines.labels} <= {3, 4, 5, 6, 7}
    train = experiment.train.pieces
    assert len(train.labels) == 7  # one is for validation
    assert train.gain
    frames = experiment.task.read_file(str(recordings / "no_ann_3.wav"))
    assert frames.shape[1] == 24


def test_recordings_with_transcripts_are_bucketed(recordings):
    config = speech_ctc.Config(**SMALL, dataset=f"speech:{recordings}", mel_bands=8)
    experiment = speech_ctc.build(config)
    counts = [experiment.provenance[name] for name in ("train", "validation", "test")]
    assert sum(counts) == 16
    assert min(counts) >= 1
    labels = [row for batches in experiment.evals.values() for row in batches.examples.labels]
    texts = {experiment.task.alphabet.decode(row) for row in labels}
    assert texts <= {f"{word} {i}" for word in ("no", "yes") for i in range(3, 7)}
    frames = experiment.train.examples.frames
    np.testing.assert_allclose(np.concatenate(frames).mean(axis=0), 0, atol=1e-3)


def test_one_recording_is_too_few(recordings, tmp_path):
    folder = shutil.copytree(recordings, tmp_path / "two")
    for path in folder.glob("*.wav"):  # recording 3 is in the test set
        if path.name not in ("no_ann_3.wav", "no_ann_5.wav"):
            path.unlink()
    config = speech_ctc.Config(**SMALL, dataset=f"spoken_lines:{folder}", mel_bands=8)
    with pytest.raises(DataError, match="at least two examples, got 1"):
        speech_ctc.build(config)


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (speech_ctc, {"dataset": "tone"}, r"no dataset 'tone' \(did you mean tones\?\); available"),
        (speech_ctc, {"test_split": "speaker:x"}, "test_split=speaker:x needs spoken_lines"),
        (speech_ctc, {"dataset": "spoken_lines:/none"}, "needs a folder with"),
        (speech_ctc, {"dataset": "speech:/none"}, "needs a folder with"),
        (
            speech_ctc,
            {"frontend": "bands", "mel_bands": 4},
            "kernel_bands must be at most config.mel_bands, 4, got 8",
        ),
        (handwriting_ctc, {"dataset": "pens:/none"}, "cannot read /none/pendigits.tra"),
        (handwriting_ctc, {"dataset": "lines"}, "no dataset 'lines'.*available: digit_lines, pens"),
        (handwriting_ctc, {"min_length": 9}, "min_length must be at most config.max_length, 8"),
    ],
)
def test_invalid_data_and_settings_are_reported_in_one_line(module, settings, message):
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        module.build(module.Config(**SMALL, **settings))
    assert "\n" not in str(caught.value)
