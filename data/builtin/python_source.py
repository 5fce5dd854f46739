"""`python_source`, `python_docs`: the standard library of the running Python as text corpora."""

import ast
import io
import platform
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from ..forms.folders import is_left_behind

# tests, installed packages, and data tables that are source code in form only
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
    """All .py files of the standard library except SKIPPED, in the order of their names."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = (
        path
        for path in root.rglob("*.py")
        if not (SKIPPED & set(path.relative_to(root).parts) or is_left_behind(path.name))
    )
    return sorted(paths, key=lambda path: path.relative_to(root).as_posix())


def file_split(index: int) -> str:
    """Split of the file with this index: of every 20, one is validation and one is test."""
    return {18: "validation", 19: "test"}.get(index % 20, "train")


class PythonSource(tfds.core.GeneratorBasedBuilder):
    """Source code of Python's standard library, one example per file, split by file 90/5/5.

    The text differs between Python versions, so the version is the name of the config.
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

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager
        return {name: self._generate_examples(name) for name in ("train", "validation", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        root = Path(sysconfig.get_path("stdlib"))
        for index, path in enumerate(standard_library()):
            text = path.read_bytes()
            if file_split(index) == split and _is_utf8(text):
                name = path.relative_to(root).as_posix()
                yield index, {"path": name, "text": self.extract_text(text.decode())}

    def extract_text(self, source: str) -> str:
        """Text that a file contributes to the corpus: all of it."""
        return source


class PythonDocs(PythonSource):
    """Comments and docstrings of Python's standard library, one example per file.

    The splits are those of `python_source`. Comments on consecutive lines form one paragraph; an
    empty line ends each paragraph.
    """

    name = "python_docs"

    def extract_text(self, source: str) -> str:
        """Comments and docstrings of a file."""
        return documentation(source)


def documentation(source: str) -> str:
    """Comments and docstrings of Python code, in order, each followed by an empty line.

    Any statement that consists of a string counts as a docstring. Code with a syntax error has no
    documentation.
    """
    statement_starts = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    paragraphs: list[str] = []
    previous, comment_line = tokenize.NEWLINE, -1
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                text = token.string.lstrip("#!: ")
                if comment_line == token.start[0] - 1:
                    paragraphs[-1] += "\n" + text
                else:
                    paragraphs.append(text)
                comment_line = token.start[0]
            elif token.type != tokenize.NL:
                if token.type == tokenize.STRING and previous in statement_starts:
                    paragraphs.append(str(ast.literal_eval(token.string)))
                previous = token.type
    except (SyntaxError, ValueError, tokenize.TokenError):
        return ""
    return "".join(paragraph.strip() + "\n\n" for paragraph in paragraphs)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
