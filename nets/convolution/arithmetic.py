"""Shape arithmetic of convolution and pooling, an axis at a time: the axes do not mix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Window:
    """A convolution or a pooling along one axis.

    size: of the kernel or of the pool, positions; 1 for a 1x1 convolution. padding: "VALID" (none),
    "SAME" (ceil(length / stride) outputs), or the positions added before and after. dilation: step
    between the taps of the kernel. transposed: the convolution that spreads each input over a
    window, as `flax.linen.ConvTranspose` and `jax.lax.conv_transpose` do. Raises ValueError for
    numbers below 1 and another padding.
    """

    size: int
    stride: int = 1
    padding: str | tuple[int, int] = "VALID"
    dilation: int = 1
    transposed: bool = False

    def __post_init__(self):
        """Check the numbers."""
        if min(self.size, self.stride, self.dilation) < 1:
            raise ValueError(f"size, stride and dilation must be at least 1, got {self}")
        if isinstance(self.padding, str) and self.padding not in ("SAME", "VALID"):
            raise ValueError(f"padding must be SAME, VALID or two numbers, got {self.padding!r}")

    @property
    def span(self) -> int:
        """Positions from the first tap to the last: (size - 1) dilation + 1."""
        return (self.size - 1) * self.dilation + 1

    def pads(self, length: int) -> tuple[int, int]:
        """Positions that are added before and after an axis of `length` (not transposed)."""
        if not isinstance(self.padding, str):
            return self.padding
        if self.padding == "VALID":
            return 0, 0
        missing = max((-(-length // self.stride) - 1) * self.stride + self.span - length, 0)
        return missing // 2, missing - missing // 2


def output_size(length: int, window: Window) -> int:
    """Outputs of a convolution or pooling along an axis of `length` positions.

    floor((length + pads - span) / stride) + 1; transposed: (length - 1) stride + 1 + pads - span
    + 1, where "SAME" pads to length * stride and "VALID" so that each input has its whole window.
    Raises ValueError when the window is longer than the padded axis.
    """
    if not window.transposed:
        whole = length + sum(window.pads(length))
        outputs = (whole - window.span) // window.stride + 1
    elif window.padding == "SAME":
        outputs = length * window.stride
    elif isinstance(window.padding, str):
        outputs = length * window.stride + max(window.span - window.stride, 0)
    else:
        outputs = (length - 1) * window.stride + 1 + sum(window.padding) - window.span + 1
    if length < 1 or outputs < 1:
        raise ValueError(f"an axis of {length} positions has no output of {window}")
    return outputs


class ReceptiveField(NamedTuple):
    """Output i depends on the input positions offset + i * stride + (0 .. size - 1).

    The offset is negative, and the last positions may lie beyond the axis, where there is padding.
    With dilation some positions between may not be read.
    """

    size: int
    stride: int
    offset: int


def receptive_field(length: int, windows: Sequence[Window]) -> ReceptiveField:
    """Receptive field of a stack of layers, from the input on, along an axis of `length`.

    Raises ValueError for a transposed layer, whose outputs do not all see equally many inputs.
    """
    size, stride, offset = 1, 1, 0
    for window in windows:
        if window.transposed:
            raise ValueError(f"there is no one receptive field through {window}")
        offset -= window.pads(length)[0] * stride
        size += (window.span - 1) * stride
        stride *= window.stride
        length = output_size(length, window)
    return ReceptiveField(size, stride, offset)
