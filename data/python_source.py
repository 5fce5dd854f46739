"""`python_source`: the running Python's own standard library as a text corpus."""

import platform
import sysconfig
from pathlib import Path

import tensorflow_datasets as tfds

# tests, what is installed beside the library, and tables of data that only look like source
SKIPPED = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "encodings",
    "pydoc_data",
}


def standard_library() -> list[Path]:
    """Every .py file of the standard library in UTF-8, code only, in the order of the names."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = (p for p in root.rglob("*.py") if not SKIPPED & set(p.relative_to(root).parts))
    return sorted(paths, key=lambda path: path.relative_to(root).as_posix())


def split_of(index: int) -> str:
    """Split of the file with this index: of every 20, one for validation and one for the test."""
    return {18: "validation", 19: "test"}.get(index % 20, "train")


class PythonSource(tfds.core.GeneratorBasedBuilder):
    """Text of Python's standard library, one example a file, split by file 90/5/5.

    It differs from one Python version to the next, so the version is the name of its config.
    """

    name = "python_source"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name=platform.python_version(), version=VERSION),)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"path": tfds.features.Text(), "text": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: self._generate_examples(name) for name in ("train", "validation", "test")}

    def _generate_examples(self, split: str):
        root = Path(sysconfig.get_path("stdlib"))
        for index, path in enumerate(standard_library()):
            text = path.read_bytes()
            if split_of(index) == split and _is_utf8(text):
                yield index, {"path": path.relative_to(root).as_posix(), "text": text}


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
