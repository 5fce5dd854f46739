"""The wheel holds one package, `unfold`: `nets`, `train` and `data` with all of their rooms.

A checkout has no folder `unfold`: there the three are imported by their own names.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PARTS = ("nets", "train", "data")
INIT = '"""Classical deep networks in JAX: `unfold.nets`, `unfold.train`, `unfold.data`."""\n'


class BuildUnfold(build_py):
    """Add the package that holds the three; it has no folder of its own in the sources."""

    def run(self):
        """Build the three packages, then write `unfold/__init__.py` and `unfold/py.typed`."""
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "unfold"
            (package / "__init__.py").write_text(INIT, encoding="utf-8")
            (package / "py.typed").touch()


def packages():
    """Name every folder of the three that has an `__init__.py`."""
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("__init__.py")):
            yield ".".join(["unfold", *path.parent.relative_to(ROOT).parts])


setup(
    packages=list(packages()),
    package_dir={f"unfold.{part}": part for part in PARTS},
    package_data={"": ["*.pyi"]},
    cmdclass={"build_py": BuildUnfold},
)
