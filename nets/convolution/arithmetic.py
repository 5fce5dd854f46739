"""Shape arithmetic of convolution and pooling, one axis at a time: the axes are independent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Window:
    """A convolution or a pooling along one axis.

    size: positions that the kernel or the pool covers; 1 for a 1x1 convolution. padding: "VALID"
    (none), "SAME" (ceil(length / stride) outputs), or the numbers of positions added before and
    after. dilation: distance between neighbouring taps of the kernel. transposed: the convolution
    that spreads each input over a window, as `flax.linen.ConvTranspose` and
    `jax.lax.conv_transpose` do. Raises ValueError for a number below 1 or any other padding.
    """

    size: int
    stride: int = 1
    padding: str | tuple[int, int] = "VALID"
    dilation: int = 1
    transposed: bool = False

    def __post_init__(self) -> None:
        """Check the numbers and the padding."""
        if min(self.size, self.stride, self.dilation) < 1:
            raise ValueError(f"size, stride and dilation must be at least 1, got {self}")
        if isinstance(self.padding, str) and self.padding not in ("SAME", "VALID"):
            raise ValueError(f"padding must be SAME, VALID or two numbers, got {self.padding!r}")

    @property
    def span(self) -> int:
        """Positions from the first tap to the last: (size - 1) dilation + 1."""
        return (self.size - 1) * self.dilation + 1

    def pads(self, length: int) -> tuple[int, int]:
        """Return the positions added before and after an axis of `length` (not transposed)."""
        if not isinstance(self.padding, str):
            return self.padding
        if self.padding == "VALID":
            return 0, 0
        missing = max((-(-length // self.stride) - 1) * self.stride + self.span - length, 0)
        return missing // 2, missing - missing // 2


def output_size(length: int, window: Window) -> int:
    """Return the number of outputs of a convolution or pooling along an axis of `length` positions.

    floor((length + pads - span) / stride) + 1; transposed: (length - 1) stride + 1 + pads - span
    + 1, where "SAME" pads to length * stride and "VALID" so that each input has its whole window.
    Raises ValueError when the window is longer than the padded axis.

    >>> output_size(32, Window(5)), output_size(32, Window(3, stride=2, padding="SAME"))
    (28, 16)
    """
    if not window.transposed:
        padded = length + sum(window.pads(length))
        outputs = (padded - window.span) // window.stride + 1
    elif window.padding == "SAME":
        outputs = length * window.stride
    elif isinstance(window.padding, str):
        outputs = length * window.stride + max(window.span - window.stride, 0)
    else:
        outputs = (length - 1) * window.stride + 1 + sum(window.padding) - window.span + 1
    if length < 1 or outputs < 1:
        raise ValueError(f"{window} has no output on an axis of {length} positions")
    return outputs


class ReceptiveField(NamedTuple):
    """Output i depends on the input positions offset + i * stride + (0 .. size - 1).

    With padding, the offset is negative and the last positions may be past the end of the axis.
    With dilation, some positions in between may not be read.
    """

    size: int
    stride: int
    offset: int


def receptive_field(length: int, windows: Sequence[Window]) -> ReceptiveField:
    """Return the receptive field of a stack of layers along an input axis of `length` positions.

    windows: the layers, first the one that reads the input. Raises ValueError for a transposed
    layer, whose outputs do not all depend on the same number of inputs.

    >>> receptive_field(32, [Window(5), Window(2, stride=2), Window(5)])
    ReceptiveField(size=14, stride=2, offset=0)
    """
    size, stride, offset = 1, 1, 0
    for window in windows:
        if window.transposed:
            raise ValueError(f"the receptive field varies from output to output through {window}")
        offset -= window.pads(length)[0] * stride
        size += (window.span - 1) * stride
        stride *= window.stride
        length = output_size(length, window)
    return ReceptiveField(size, stride, offset)
