"""Speech to symbols: a deep bidirectional LSTM on log-mel frames, trained without segments.

Reproduces: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural networks",
2013: connectionist temporal classification on a deep bidirectional LSTM, and that deep is better
than wide (17.7 % phoneme error on TIMIT, which is not free). --config.frontend=bands convolves over
the frequency bands of a frame first: Abdel-Hamid et al., "Applying convolutional neural networks
concepts to hybrid NN-HMM model for speech recognition", 2012.

    python -m experiments.speech_ctc --workdir=runs/tones
    python -m experiments.speech_ctc --workdir=runs/spoken --config.dataset=spoken_lines:recordings
    python -m experiments.speech_ctc --workdir=runs/speech --config.dataset=speech:FOLDER
    python -m experiments.speech_ctc --workdir=runs/spoken --mode=transcribe --config.input=own.wav

Data: tones (the default), telephone numbers as the tones of a keypad in noise, synthetic;
spoken_lines:FOLDER, single words joined to lines, as the Free Spoken Digit Dataset has them, whose
test is of recordings, or with --config.test_split=speaker:NAME of a speaker, that no training line
holds; speech:FOLDER, WAV files with transcripts. --mode=transcribe writes down a WAV file of the
user, and draws where each symbol was heard; --mode=decode scores searches, also with a language.
Measured: the rows of C10 and B8 in experiments/README.md.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from data.catalogue import DataError, nearest
from data.lines.sounds import Features, Sounds, word_alphabet, word_pieces
from data.lines.tones import KEYS, RATE, tones
from data.lines.transcripts import Alphabet, Transcripts
from data.sound.speech import load_speech, read_sound
from data.sound.waves import load_waves
from experiments.signal.task import MODES, Corpus, divided, make_experiment, of_lines, of_recordings
from experiments.signal.task import Config as TranscriptionConfig
from nets.ctc.frontends import BandConvolution
from train import cli
from train.config import ConfigError, option
from train.task import Experiment

FRONTS = ("none", "bands")
KINDS = ("tones", "spoken_lines:FOLDER", "speech:FOLDER")


@dataclass(slots=True, kw_only=True)
class Config(TranscriptionConfig):
    """Settings of sounds and of the network that reads them."""

    TINY: ClassVar = {**TranscriptionConfig.TINY, "mel_bands": 8, "filters": 8}

    dataset: str = TranscriptionConfig.changed(
        "dataset", "tones", "tones, spoken_lines:FOLDER or speech:FOLDER"
    )
    test_split: str = option(
        "standard",
        "test recordings: standard, or speaker:NAME",
        note="spoken_lines:FOLDER",
        group="data",
    )
    min_length: int = TranscriptionConfig.changed("min_length", 3)
    max_length: int = TranscriptionConfig.changed("max_length", 7)
    mel_bands: int = option(40, "bands of the log-mel spectrogram", group="data", minimum=4)
    deltas: bool = option(
        False, "append first and second differences over time to each band", group="data"
    )
    gain_db: float = option(
        10.0,
        "augmentation: maximum change of loudness, in dB",
        note="spoken_lines:FOLDER",
        group="data",
        minimum=0,
    )
    time_stretch: float = option(
        0.1,
        "augmentation: maximum relative change of speed",
        note="spoken_lines:FOLDER",
        group="data",
        minimum=0,
        maximum=0.5,
    )

    frontend: str = option("none", "front-end: a convolution over frequency bands", choices=FRONTS)
    filters: int = option(32, "convolution kernels per layer", note="frontend=bands", minimum=1)
    kernel_bands: int = option(8, "height of a kernel, in bands", note="frontend=bands", minimum=1)
    pool_bands: int = option(3, "bands per max-pooling window", note="frontend=bands", minimum=1)
    frame_stacking: int = TranscriptionConfig.changed("frame_stacking", 3)


def heard(config: Config, alphabet: Alphabet, train: Sounds, validation: Sounds, test: Sounds):
    """Corpus of lines of sounds; frames are made as those for training are."""
    features = train.features
    parts = (train, replace(validation, features=features), replace(test, features=features))
    lines = of_lines(config, *parts, config.max_frames)
    return Corpus(
        alphabet, **lines, read=reader(features), kind="spectrogram", found={"rate": features.rate}
    )


def reader(features: Features):
    """Return what gives the frames of a WAV file."""
    return lambda path: features(read_sound(path, features.rate))


def read_words(config: Config, folder: str) -> Corpus:
    """Recordings of single words, joined."""
    waves = load_waves(folder)
    test = waves.held_out(config.test_split)
    rest = np.flatnonzero(~test)
    chosen, validation = divided(len(rest), config)
    plain = Features(waves.rate, config.mel_bands, config.deltas)
    train = word_pieces(waves, rest[chosen], plain)
    train = replace(
        train, gain=config.gain_db, tempo=config.time_stretch, quiet=(30.0, 70.0)
    ).fitted()
    others = (word_pieces(waves, places, plain) for places in (rest[validation], test))
    return heard(config, word_alphabet(waves), train, *others)


def read_speech(config: Config, folder: str) -> Corpus:
    """Recordings with transcripts."""
    speech = load_speech(folder)
    rest = np.flatnonzero(~speech.test)
    chosen, validation = divided(len(rest), config)
    parts = {
        "train": rest[chosen],
        "validation": rest[validation],
        "test": np.flatnonzero(speech.test),
    }
    alphabet = Alphabet.from_texts(speech.texts)
    features = Features(speech.rate, config.mel_bands, config.deltas)
    features = features.fitted(speech.sounds[i] for i in parts["train"])
    frames = [features(sound) for sound in speech.sounds]
    whole = Transcripts(frames, [alphabet.encode(text) for text in speech.texts])
    batches = of_recordings(config, {name: whole.subset(p) for name, p in parts.items()})
    found = {
        "rate": speech.rate,
        "symbols": len(alphabet.symbols),
        "train": len(chosen),
        "too_long": batches["train"].too_long,
    }
    return Corpus(alphabet, **batches, read=reader(features), kind="spectrogram", found=found)


def build(config: Config) -> Experiment:
    """Read the sounds, and make the network."""
    kind, _, folder = config.dataset.partition(":")
    if config.test_split != "standard" and kind != "spoken_lines":
        raise ConfigError(f"config.test_split={config.test_split} needs spoken_lines:FOLDER")
    if config.frontend == "bands" and config.mel_bands < config.kernel_bands:
        raise ConfigError(
            f"config.kernel_bands must be at most config.mel_bands, {config.mel_bands}, "
            f"got {config.kernel_bands}"
        )
    if kind == "spoken_lines":
        corpus = read_words(config, folder)
    elif kind == "speech":
        corpus = read_speech(config, folder)
    elif config.dataset == "tones":
        keys = tones(Features(RATE, config.mel_bands, config.deltas))
        corpus = heard(config, KEYS, keys, keys, keys)
    else:
        near = nearest(config.dataset, KINDS)
        known = ", ".join(KINDS)
        raise DataError(f"there is no dataset {config.dataset!r}{near}; there are {known}")
    channels = 3 if config.deltas else 1
    bands = BandConvolution(
        config.filters,
        config.kernel_bands,
        config.pool_bands,
        channels,
        dtype=jnp.dtype(config.precision),
    )
    return make_experiment(config, corpus, (bands,) if config.frontend == "bands" else ())


if __name__ == "__main__":
    cli.run(Config, build, MODES)
