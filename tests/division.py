"""What the compiled program of one device says: its operations, and the arrays it moves."""

import re

MOVES = ("all-gather", "all-to-all", "collective-permute", "collective-broadcast")


def operations(compiled):
    """Floating-point operations of one device; XLA counts a loop as one of its steps."""
    return compiled.cost_analysis()["flops"]


def moved(compiled):
    """Lines of the program that move rows between devices; sums over devices move none."""
    instruction = re.compile(rf" = .* ({'|'.join(MOVES)})(-start)?\(")
    return [line.strip() for line in compiled.as_text().splitlines() if instruction.search(line)]


def assert_divided(four, one, quarter=None):
    """Check that four devices divide the work of a batch, and move no rows.

    four: the program of each of four devices. one: that of a single device. quarter: that of a
    single device for a quarter of the batch; it shows how many operations do not depend on the
    batch, such as the update of the parameters. Without it, they must be few.
    """
    assert not moved(four)
    fixed = 0 if quarter is None else (4 * operations(quarter) - operations(one)) / 3
    share = (operations(one) - fixed) / 4
    assert share > 0
    assert operations(four) - fixed <= 1.15 * share
