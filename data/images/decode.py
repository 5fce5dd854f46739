"""Encoded images as arrays."""

import io
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..catalogue import DataError
from ..forms.content import check_no_pipe

Shape = tuple[int | None, int | None, int]  # height, width and channels; None where it varies
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
PAPER = (255, 255, 255, 255)  # white, behind transparent pixels
ORIENTATION = 0x0112  # of EXIF
Turn = Image.Transpose
UPRIGHT = {  # what undoes each orientation
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
ON_SIDE = (5, 6, 7, 8)  # orientations that exchange height and width
FAULTS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    Image.DecompressionBombError,
)


class DamagedImage(DataError):
    """An image that cannot be decoded."""


def decode_image(item: Path | bytes, channels: int, size: int, name: str) -> np.ndarray:
    """Decode an image to uint8 [H, W, channels], resized to size x size unless size is 0.

    channels: 1 (grey) or 3 (RGB). `open_image` opens the image, and describes how transparent and
    rotated ones are treated. Raises DamagedImage, a DataError that names the image.
    """
    image = open_image(item, name).convert("L" if channels == 1 else "RGB")
    if size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels


def open_image(
    item: Path | bytes, name: str, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """Open a picture, grey (mode L) or in colour (mode RGB), with 8 bits for each value.

    It is turned upright according to its EXIF data, and white paper shows through transparent
    pixels. The upper 8 of 16 bits are kept, and the first picture of an animation is read. formats:
    those that are accepted, by Pillow's names; by default all. Raises DamagedImage, a DataError
    that names the image, when it is damaged, is a decompression bomb, or has pixels of 32 bits.
    """
    try:
        with _opened(item, formats) as opened:
            opened.load()  # TIFF files are turned here
            turn = UPRIGHT.get(_orientation(opened))
            image = opened if turn is None else opened.transpose(turn)
            if image.mode.startswith("I;16") or (image.mode == "I" and opened.format == "PPM"):
                image = _eight_bits(image, opened.info.get("transparency"))
            elif image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits, not 8 or 16")
            grey = image.mode in GREY
            if image.has_transparency_data:
                paper = Image.new("RGBA", image.size, PAPER)
                whole = image.convert("LA") if image.mode == "La" else image
                image = Image.alpha_composite(paper, whole.convert("RGBA"))
            return image.convert("L" if grey else "RGB")
    except FAULTS as error:
        raise damaged(name, error) from None


def decode_mask(item: Path | bytes, name: str) -> np.ndarray:
    """Stored values uint8 [H, W] of a mask: grey, or indices of colours.

    Raises DamagedImage when it is damaged or has other pixels.
    """
    try:
        with _opened(item) as image:
            if image.mode not in ("1", "L", "P"):
                raise ValueError(f"its mode is {image.mode}, not indexed colours")
            return np.asarray(image).astype(np.uint8)
    except FAULTS as error:
        raise damaged(name, error) from None


def damaged(name: str, error: Exception) -> DamagedImage:
    """Error of an image that raised an exception of FAULTS."""
    text = "cannot identify image file" if isinstance(error, UnidentifiedImageError) else error
    return DamagedImage(f"cannot read {name}: {text}")


def _opened(item: Path | bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    if isinstance(item, bytes):
        content = item
    else:
        check_no_pipe(item)
        content = item.read_bytes()  # with a path, Pillow does not turn some TIFF files
    return Image.open(io.BytesIO(content), formats=formats)


def _orientation(image: Image.Image) -> int:
    """Orientation by the EXIF data of an image, 1 when they are missing or damaged."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except FAULTS:
        return 1


def _eight_bits(image: Image.Image, clear: int | None) -> Image.Image:
    """Grey image of the upper 8 of 16 bits; pixels of the value `clear` are paper."""
    values = np.asarray(image)
    pixels = (values >> 8).astype(np.uint8)
    return Image.fromarray(pixels if clear is None else np.where(values == clear, 255, pixels))


def common_shape(items: Sequence[Path | bytes], names: Sequence[str]) -> Shape:
    """Height, width and channels of images, from their headers; None where they differ.

    Channels are 1 if all images are grey, else 3.
    """

    def header(item: Path | bytes, name: str) -> tuple[int, int, int]:
        try:
            with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as image:
                width, height = image.size
                # the size of a TIFF file is already that of the upright image
                if image.format != "TIFF" and _orientation(image) in ON_SIDE:
                    width, height = height, width
                return height, width, 1 if image.mode in GREY else 3
        except FAULTS as error:
            raise damaged(name, error) from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heights, widths, channels = zip(*pool.map(header, items, names), strict=True)
    height, width = (side[0] if len(set(side)) == 1 else None for side in (heights, widths))
    return height, width, max(channels)
