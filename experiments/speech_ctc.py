"""Speech to symbols: a deep bidirectional LSTM on log-mel frames, trained without segmentation.

Reproduces: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural networks",
2013: connectionist temporal classification with a deep bidirectional LSTM, where depth helps more
than width (17.7 % phoneme error on TIMIT, which is not free). --config.frontend=bands first
convolves over the frequency bands of each frame: Abdel-Hamid et al., "Applying convolutional neural
networks concepts to hybrid NN-HMM model for speech recognition", 2012.

    python -m experiments.speech_ctc --workdir=runs/tones
    python -m experiments.speech_ctc --workdir=runs/spoken --config.dataset=spoken_lines:recordings
    python -m experiments.speech_ctc --workdir=runs/speech --config.dataset=speech:FOLDER
    python -m experiments.speech_ctc --workdir=runs/spoken --mode=transcribe --config.input=own.wav

Data: tones (the default), synthetic telephone numbers as noisy keypad tones; spoken_lines:FOLDER,
recordings of single words as in the Free Spoken Digit Dataset, joined into lines; speech:FOLDER,
sound files with transcripts. No recording of a test line is used in training; with
--config.test_split=speaker:NAME, no recording of that speaker is. --mode=transcribe transcribes
files and draws which frames belong to each symbol; --mode=decode compares search methods, also with
a language model. Measured: rows C10 and B8 of the table in experiments/README.md.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.buckets import TrainingBuckets
from data.catalogue import unknown_dataset
from data.lines.transcripts import Alphabet, Transcripts
from experiments.common.split import split_indices
from experiments.signal.task import (
    ALPHABET,
    MODES,
    Transcribe,
    TranscriptionData,
    composed_data,
    make_experiment,
    make_network,
)
from experiments.signal.task import Config as TranscriptionConfig
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment

if TYPE_CHECKING:
    from data.lines.sounds import Sounds

DATASETS = ("tones", "spoken_lines:FOLDER", "speech:FOLDER")
FEATURES = "features.json"  # name of an asset
QUIET = (30.0, 70.0)  # least and greatest attenuation of background noise, in dB


@dataclass(slots=True, kw_only=True)
class Config(TranscriptionConfig):
    """Settings of the sounds and of the front-end; the others are in experiments/signal/task.py."""

    TINY: ClassVar = {**TranscriptionConfig.TINY, "mel_bands": 8, "filters": 8}

    dataset: str = TranscriptionConfig.changed(
        "dataset", "tones", "tones, spoken_lines:FOLDER or speech:FOLDER"
    )
    test_split: str = option(
        "standard",
        "test recordings: the standard split, or speaker:NAME",
        note="only with spoken_lines:FOLDER",
        group="data",
    )
    min_length: int = TranscriptionConfig.changed("min_length", 3)
    max_length: int = TranscriptionConfig.changed("max_length", 7)
    mel_bands: int = option(
        40, "number of bands of the log-mel spectrogram", group="data", minimum=4
    )
    deltas: bool = option(
        False, "append first and second differences over time to each band", group="data"
    )
    gain_db: float = option(
        10.0,
        "augmentation: maximum change of loudness, in dB",
        note="only with spoken_lines:FOLDER",
        group="data",
        minimum=0,
    )
    time_stretch: float = option(
        0.1,
        "augmentation: maximum relative change of speed",
        note="only with spoken_lines:FOLDER",
        group="data",
        minimum=0,
        maximum=0.5,
    )

    frontend: str = option(
        "none", "front-end: none, or a convolution over frequency bands", choices=("none", "bands")
    )
    filters: int = option(
        32, "convolution kernels per layer", note="only with frontend=bands", minimum=1
    )
    kernel_bands: int = option(
        8, "height of a kernel, in bands", note="only with frontend=bands", minimum=1
    )
    pool_bands: int = option(
        3, "bands per max-pooling window", note="only with frontend=bands", minimum=1
    )
    frame_stacking: int = TranscriptionConfig.changed("frame_stacking", 3)


def read_tones(config: Config) -> TranscriptionData:
    """Data of synthetic lines of keypad tones."""
    from data.lines.sounds import Features
    from data.lines.tones import KEYS, RATE, tones

    keys = tones(Features(RATE, config.mel_bands, config.deltas))
    return sound_data(config, KEYS, train=keys, validation=keys, test=keys)


def read_words(config: Config, folder: str) -> TranscriptionData:
    """Data of lines that are composed of recordings of single words."""
    from data.lines.sounds import Features, word_alphabet, word_pieces
    from data.sound.waves import load_waves
    from data.tabular.batches import sha256_of

    waves = load_waves(folder)
    test = waves.held_out(config.test_split)
    rest = np.flatnonzero(~test)
    train, validation = split_indices(len(rest), config.validation_fraction, config.seed)
    features = Features(waves.rate, config.mel_bands, config.deltas)
    augmented = replace(
        word_pieces(waves, rest[train], features),
        gain=config.gain_db,
        tempo=config.time_stretch,
        quiet=QUIET,
    )
    return sound_data(
        config,
        word_alphabet(waves),
        train=augmented.fitted(),
        validation=word_pieces(waves, rest[validation], features),
        test=word_pieces(waves, test, features),
        recordings_sha256=sha256_of(*waves.samples, waves.labels),
    )


def sound_data(
    config: Config,
    alphabet: Alphabet,
    *,
    train: "Sounds",
    validation: "Sounds",
    test: "Sounds",
    **provenance: str,
) -> TranscriptionData:
    """Data of lines of sounds, all with the features of the training sounds."""
    features = train.features
    return composed_data(
        config,
        alphabet,
        train=train,
        validation=replace(validation, features=features),
        test=replace(test, features=features),
        longest=config.max_frames,
        assets={FEATURES: features.to_bytes()},
        provenance={"rate": features.rate, **provenance},
    )


def read_speech(config: Config, folder: str) -> TranscriptionData:
    """Data of recordings with transcripts."""
    from data.lines.sounds import Features
    from data.sound.speech import load_speech

    speech = load_speech(folder)
    rest = np.flatnonzero(~speech.test)
    train, validation = split_indices(len(rest), config.validation_fraction, config.seed)
    alphabet = Alphabet.from_texts(speech.texts)
    features = Features(speech.rate, config.mel_bands, config.deltas)
    features = features.fitted(speech.sounds[i] for i in rest[train])
    lines = Transcripts(
        frames=[features(sound) for sound in speech.sounds],
        labels=[alphabet.encode(text) for text in speech.texts],
    )
    batches = TrainingBuckets(
        examples=lines.subset(rest[train]),
        batch_size=config.batch_size,
        seed=config.seed,
        longest=config.max_frames,
    )
    return TranscriptionData(
        alphabet=alphabet,
        train=batches,
        held_out={
            "validation": lines.subset(rest[validation]),
            "test": lines.subset(np.flatnonzero(speech.test)),
        },
        shapes=batches.shapes,
        assets={FEATURES: features.to_bytes()},
        provenance={
            "rate": speech.rate,
            "symbols": len(alphabet.symbols),
            "train": len(train),
            "train_sha256": lines.subset(rest).sha256,  # includes the validation set
            "too_long": batches.too_long,
        },
    )


def read_data(config: Config) -> TranscriptionData:
    """Data by config.dataset; raises DataError if there is no such dataset."""
    kind, _, folder = config.dataset.partition(":")
    if kind == "spoken_lines":
        return read_words(config, folder)
    if kind == "speech":
        return read_speech(config, folder)
    if config.dataset == "tones":
        return read_tones(config)
    raise unknown_dataset(config.dataset, DATASETS)


def make_front_end(config: Config) -> tuple[nn.Module, ...]:
    """Layers that read the frames before consecutive ones are stacked."""
    if config.frontend == "none":
        return ()
    from nets.ctc.frontends import BandConvolution

    if config.mel_bands < config.kernel_bands:
        raise ConfigError(
            f"config.kernel_bands must be at most config.mel_bands, {config.mel_bands}, "
            f"got {config.kernel_bands}"
        )
    bands = BandConvolution(
        features=config.filters,
        size=config.kernel_bands,
        pool=config.pool_bands,
        channels=3 if config.deltas else 1,
        dtype=jnp.dtype(config.precision),
    )
    return (bands,)


def make_task(config: Config, assets: Assets) -> Transcribe:
    """Make the network for the alphabet, and the reader of sound files."""
    from data.lines.sounds import Features
    from data.sound.files import read_sound

    alphabet = Alphabet.from_bytes(assets[ALPHABET])
    features = Features.from_bytes(assets[FEATURES])
    network = make_network(config, len(alphabet.symbols), make_front_end(config))

    def read_file(path: str) -> np.ndarray:
        return features(read_sound(Path(os.path.expanduser(path)), features.rate))

    return Transcribe(config, alphabet, network, read_file, "spectrogram")


def build(config: Config) -> Experiment:
    """Read the sounds; make the task and the batches."""
    if config.test_split != "standard" and not config.dataset.startswith("spoken_lines:"):
        raise ConfigError(f"config.test_split={config.test_split} needs spoken_lines:FOLDER")
    return make_experiment(config, make_task, read_data(config))


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
