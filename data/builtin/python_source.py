"""`python_source`, `python_docs`: the running Python's own standard library as text corpora."""

import ast
import io
import platform
import sysconfig
import tokenize
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
                name = path.relative_to(root).as_posix()
                yield index, {"path": name, "text": self.text_of(text.decode())}

    def text_of(self, source: str) -> str:
        """What of a file is in the corpus: all."""
        return source


class PythonDocs(PythonSource):
    """Comments and docstrings of Python's standard library, one example a file, split as its code.

    Comments on lines that follow one another are one paragraph; an empty line ends each.
    """

    name = "python_docs"

    def text_of(self, source: str) -> str:
        """Prose of a file, in order."""
        return documentation(source)


def documentation(source: str) -> str:
    """Comments and docstrings of a file of Python, in order, each with an empty line after it.

    A docstring here is a statement that is nothing but a string. A file that Python cannot read
    has none.
    """
    begins = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    paragraphs: list[str] = []
    before, comment_line = tokenize.NEWLINE, -1
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
                if token.type == tokenize.STRING and before in begins:
                    paragraphs.append(str(ast.literal_eval(token.string)))
                before = token.type
    except (SyntaxError, ValueError, tokenize.TokenError):
        return ""
    return "".join(paragraph.strip() + "\n\n" for paragraph in paragraphs)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
