"""Files that a mode writes: below the run directory, unless the user names another place."""

import dataclasses
import os
from pathlib import Path

from .config import ConfigError
from .files import replace_file


@dataclasses.dataclass(frozen=True)
class Output:
    """A file that a mode writes.

    The default of a mode, below the run directory, replaces that of an earlier call. A file that
    the user named must be new: ConfigError, when the output is made, if it exists.
    """

    path: Path
    named: bool = True

    def __post_init__(self) -> None:
        if self.named and os.path.lexists(self.path):
            raise ConfigError(f"{self.path} exists: remove it, or name another file")

    def beside(self, name: str) -> "Output":
        """Another file in the same folder, to which the same rule applies."""
        return Output(self.path.with_name(name), self.named)

    def write(self, content: bytes) -> str:
        """Write the file; return its path, and whether it was replaced, as text for the user.

        Raises OSError when it cannot be written.
        """
        replaced = self.path.exists()
        if self.named:
            with open(self.path, "xb") as file:
                file.write(content)
        else:
            replace_file(self.path, content)
        return written(self.path, replaced)


def written(path: Path, replaced: bool) -> str:
    """Text that tells the user which file was written, and whether an older one is gone."""
    return f"{path} (replaced)" if replaced else str(path)


def output_of(workdir: Path, default: str, named: str = "") -> Output:
    """Output of a mode: `default` in the run directory, or the file that the user named."""
    if named:
        return Output(Path(os.path.expanduser(named)))
    return Output(workdir / default, named=False)
