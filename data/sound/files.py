"""Sound files: WAV, FLAC, OGG and whatever else libsndfile reads, at any sampling rate."""

import io
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from ..catalogue import DataError
from ..forms.content import check_no_pipe
from ..forms.files import nearest_file
from ..forms.folders import files_below

SUFFIXES = (".wav", ".flac", ".ogg")  # of the files below a folder
RATES = 1_000, 768_000  # least and greatest sampling rate, Hz
STREAMED = 0x7FFF0000  # from this size on, the header was written before the samples were counted


def sound_files(folder: Path) -> list[Path]:
    """Sorted sound files below a folder; DataError when two differ only in their suffix."""
    paths = files_below(folder, SUFFIXES)
    known: dict[Path, Path] = {}
    for path in paths:
        other = known.setdefault(path.with_suffix(""), path)
        if other != path:
            raise DataError(f"{other} and {path} are two recordings of the same name")
    return paths


def read_sound_file(path: Path) -> tuple[int, np.ndarray]:
    """Sampling rate in Hz and sound float32 [N] in -1 .. 1, with all channels mixed to one.

    Samples have 8 to 32 bits or are floats, which are not scaled. A WAV file that was written as a
    stream, without the number of its samples, is read to its end. Raises DataError, naming the
    file, when it cannot be read, is truncated, has no samples or samples that are not finite, or
    when its rate is not within RATES.
    """
    soundfile = _library()
    kind = path.suffix[1:].upper() or "sound"
    check_no_pipe(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{nearest_file(path)}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    try:
        with soundfile.SoundFile(io.BytesIO(with_sizes(content))) as file:
            rate, announced = file.samplerate, file.frames
            values = file.read(dtype="float32", always_2d=True)
    except (ValueError, soundfile.SoundFileError) as error:
        text = getattr(error, "error_string", None) or str(error)
        raise DataError(f"cannot read {path} as {kind}: {text.rstrip('.')}") from None
    if len(values) != announced and kind != "MP3":  # its length is an estimate
        raise DataError(f"cannot read {path} as {kind}: it is truncated")
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"{path} has a rate of {rate} Hz, not of {RATES[0]} to {RATES[1]} Hz")
    if not values.size:
        raise DataError(f"{path} has no samples")
    if not np.isfinite(values).all():
        raise DataError(f"{path} has samples that are not finite")
    return rate, values[:, 0] if values.shape[1] == 1 else values.mean(axis=1)


def with_sizes(content: bytes) -> bytes:
    """Content of a sound file, with the sizes that the header of a streamed WAV file lacks.

    Raises ValueError when a WAV file is truncated. Other files are not changed.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return content
    for name, start, size in _chunks(content, 12):
        present = len(content) - start
        if name == b"data":
            streamed = size >= STREAMED or (size == 0 and not _ends_in_chunks(content, start))
            if size > present and not streamed:
                raise ValueError(f"it is truncated: {present} of {size} bytes of samples are there")
            if streamed:
                sizes = struct.pack("<I", len(content) - 8), struct.pack("<I", present)
                return b"RIFF" + sizes[0] + content[8 : start - 4] + sizes[1] + content[start:]
            break
    return content


def _chunks(content: bytes, start: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and size of each chunk of a WAV file."""
    while start + 8 <= len(content):
        (size,) = struct.unpack("<I", content[start + 4 : start + 8])
        yield content[start : start + 4], start + 8, size
        start += 8 + size + size % 2


def _ends_in_chunks(content: bytes, start: int) -> bool:
    """Whether only complete chunks follow."""
    while start + 8 <= len(content):
        _, first, size = next(_chunks(content, start))
        start = first + size + size % 2
    return start == len(content)


def at_one_rate(paths: Sequence[Path]) -> tuple[int, list[np.ndarray]]:
    """Most frequent rate of sound files, and their sounds float32 [N_i], resampled to it.

    Prints how many files have another rate. Raises DataError as `read_sound_file` does.
    """
    sounds = [read_sound_file(path) for path in paths]
    rate = Counter(rate for rate, _ in sounds).most_common(1)[0][0]
    others = [path for path, (own, _) in zip(paths, sounds, strict=True) if own != rate]
    if others:
        count = f"{len(others)} of {len(paths)} recordings"
        print(f"resampled {count} to {rate} Hz, for example {others[0]}", flush=True)
    return rate, [resample(sound, own, rate) for own, sound in sounds]


def read_sound(path: Path, rate: int) -> np.ndarray:
    """Sound float32 [N] of a file; if it is resampled to `rate` Hz, a printed line says so."""
    own, sound = read_sound_file(path)
    if own != rate:
        print(f"resampled {path} from {own} to {rate} Hz", flush=True)
    return resample(sound, own, rate)


def resample(sound: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Resample a sound [N] from `own` Hz to `rate` Hz, through a low-pass filter."""
    if own == rate:
        return sound
    divisor = gcd(own, rate)
    return resample_poly(sound, rate // divisor, own // divisor).astype(np.float32)


def _library() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: without libsndfile
        raise DataError(
            "recordings need soundfile, which the extra [data] installs: pip install '.[data]'"
        ) from None
    return soundfile
