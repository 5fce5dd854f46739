"""Encoded images as arrays."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..catalogue import DataError

Shape = tuple[int | None, int | None, int]  # height, width and channels; None where it varies
GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
ORIENTATION, TURNED = 0x0112, 5  # of EXIF: from 5 on, height and width are exchanged
FAULTS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class DamagedImage(DataError):
    """An image that cannot be decoded."""


def decode_image(item: Path | bytes, channels: int, size: int, name: str) -> np.ndarray:
    """Decode an image to uint8 [H, W, channels], resized to size x size unless size is 0.

    channels: 1 (grey) or 3 (RGB). A photograph is turned as its EXIF data say; transparency is
    dropped; of an animation the first picture is read. Raises DamagedImage, a DataError that names
    the image, when it is damaged or its pixels have more than 16 bits.
    """
    try:
        with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits, not 8 or 16")
            elif image.mode == "P":
                image = image.convert("RGBA")
            image = image.convert("L" if channels == 1 else "RGB")
    except FAULTS as error:
        raise DamagedImage(f"cannot read {name}: {error}") from None
    if size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels


def common_shape(items: Sequence[Path | bytes], names: Sequence[str]) -> Shape:
    """Height, width and channels of images, from their headers; None where they differ.

    Channels are 1 if all images are grey, else 3.
    """

    def header(item: Path | bytes, name: str) -> tuple[int, int, int]:
        try:
            with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as image:
                width, height = image.size
                if image.getexif().get(ORIENTATION, 1) >= TURNED:
                    width, height = height, width
                return height, width, 1 if image.mode in GREY else 3
        except FAULTS as error:
            raise DataError(f"cannot read {name}: {error}") from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heights, widths, channels = zip(*pool.map(header, items, names), strict=True)
    height, width = (side[0] if len(set(side)) == 1 else None for side in (heights, widths))
    return height, width, max(channels)
