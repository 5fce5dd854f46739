"""A wrong name is answered with what was probably meant, and with all that there is."""

import importlib
import re

import pytest

from data.catalogue import DataError, load_splits, unknown_dataset
from data.forms.names import meant
from data.images import labelled
from data.pairs import parallel
from data.sentences import sentiment, tagged
from data.text import corpus, words

LOADERS = {
    "lenet5": labelled,
    "convnet": labelled,
    "mdrnn": labelled,
    "imagenet": labelled,
    "char_lm": corpus,
    "word_lm": words,
    "word2vec": words,
    "ngram_lm": words,
    "sentiment": sentiment,
    "nmt": parallel,
    "pos_tagger": tagged,
    "opinion_spans": tagged,
}


def prefixes(forms):
    return {form.partition(":")[0] for form in forms if ":" in form}


@pytest.mark.parametrize("name", LOADERS)
def test_the_help_of_an_experiment_lists_what_its_loader_accepts(name):
    config = importlib.import_module(f"experiments.{name}").Config
    text = config.__dataclass_fields__["dataset"].metadata["note"]
    assert prefixes(LOADERS[name].FORMS) == set(re.findall(r"(\w+):[A-Z]", text))


@pytest.mark.parametrize(
    ("files", "name", "module", "expected"),
    [
        (["b.txt"], "b.txt", corpus, "text:{}"),
        (["naïve café.txt"], "naïve café.txt", words, "text:{}"),
        (["b.csv.gz"], "b.csv.gz", corpus, "csv:{}"),
        (["b.csv"], "b.csv", labelled, ""),
        (["m.npz"], "m.npz", labelled, "npz:{}"),
        (["d/cat/a.PNG", "d/dog/b.png"], "d", labelled, "folder:{}"),
        (["d/cat/a.PNG", "d/dog/b.png"], "d", corpus, "text:{}"),
        (["d/t10k-images-idx3-ubyte.gz"], "d", labelled, "idx:{}"),
        (["d/train.csv", "d/test.csv"], "d", sentiment, "csv:{}"),
        (["d/state.json", "d/data-0-of-1.arrow"], "d", parallel, "arrow:{}"),
        (["d/train.de", "d/train.en"], "d", parallel, "pairs:{}"),
        (["d/ptb.train.txt", "d/ptb.test.txt"], "d", words, "words:{}"),
        (["d/train.txt", "d/test.txt"], "d", tagged, "conll:{}"),
        (["d/en-train.conllu"], "d", tagged, "conllu:{}"),
        (["d/rt.neg", "d/rt.pos"], "d", sentiment, "lines:{}"),
        ([], "nothing", corpus, ""),
    ],
)
def test_a_path_without_its_form(tmp_path, files, name, module, expected):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    path = str(tmp_path / name)
    assert meant(path, module.FORMS) == expected.format(path)
    if expected:  # also with a form that is not accepted
        assert meant(f"dir:{path}", module.FORMS) == expected.format(path)


def test_a_misspelt_form_and_an_endless_name(tmp_path):
    assert meant("txt:somewhere", corpus.FORMS) == "text:somewhere"
    assert meant("qqqq:somewhere", corpus.FORMS) == meant("txt:", corpus.FORMS) == ""
    assert meant("x" * 5000, corpus.FORMS) == meant("", corpus.FORMS) == ""


def test_the_message_lists_datasets_and_forms(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("x")
    with pytest.raises(DataError) as caught:
        load_splits(str(path), str(tmp_path), corpus.FORMS)
    assert str(caught.value) == (
        f"there is no dataset {str(path)!r} (did you mean text:{path}?); available: digits, "
        f"python_docs, python_source (in {tmp_path}), text:PATH, csv:PATH, tsv:PATH, jsonl:PATH, "
        "parquet:PATH, arrow:PATH"
    )
    with pytest.raises(DataError, match=r"'mnits' \(did you mean mnist\?\); available: digits"):
        load_splits("mnits", str(tmp_path), labelled.FORMS)
    message = "there is no dataset 'a'; available: b:X, c"
    assert str(unknown_dataset("a", ["b:X"], ["c"])) == message.replace("b:X, c", "c, b:X")
