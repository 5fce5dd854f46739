"""Tables of every form have the same rows; what is wrong is named with its file and line."""

import builtins
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.catalogue import DataError
from data.forms.labels import read_labels
from data.forms.readers import load_tables

TEXTS = ["plain", 'with, "comma"', "two\nlines", "naïve 😀", ""]
LABELS = [0, 1, 1, 0, 1]


def save(path, texts=TEXTS, labels=LABELS):
    """Write the columns text and label in the form of the suffix."""
    names = ("text", "label")
    if path.suffix == ".csv":
        rows = [
            '"' + text.replace('"', '""') + f'",{x}' for text, x in zip(texts, labels, strict=True)
        ]
        path.write_text("\ufefftext,label\r\n" + "\r\n".join(rows) + "\r\n\r\n", newline="")
    elif path.suffix == ".jsonl":
        rows = [
            json.dumps(dict(zip(names, row, strict=True)))
            for row in zip(texts, labels, strict=True)
        ]
        path.write_text("\n".join(rows) + "\n\n")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    else:
        table = pa.table({"text": texts, "label": labels})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


def refused(form, path):
    with pytest.raises(DataError) as caught:
        [
            table.texts("text")
            for tables in load_tables(form, str(path)).values()
            for table in tables
        ]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
def test_every_form_has_the_same_rows(tmp_path, form):
    path = tmp_path / f"ü b, c.{form}"
    save(path)
    ((split, (table,)),) = load_tables(form, str(path)).items()
    assert (split, table.names, len(table)) == ("train", ("text", "label"), 5)
    assert table.texts("text") == TEXTS
    assert [int(label) for label in table.read("label")] == LABELS
    if form in ("csv", "jsonl"):
        content = path.read_bytes()
        path.write_bytes(gzip.compress(content))
        assert load_tables(form, str(path))["train"][0].texts("text") == TEXTS


def test_fields_of_tsv_are_not_quoted(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('label\ttext\n1\tsay "no\n\n0\t, "" \n')
    (table,) = load_tables("tsv", str(path))["train"]
    assert table.texts("text") == ['say "no', ', "" ']
    assert table.place(1) == f"line 4 of {path}"


def test_an_arrow_stream_is_read_like_a_file(tmp_path):
    table = pa.table({"text": TEXTS})
    path = tmp_path / "stream.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    assert load_tables("arrow", str(path))["train"][0].texts("text") == TEXTS


def test_a_folder_has_the_splits_of_its_file_names(tmp_path):
    for name, text in (("train-1", "b"), ("train-0", "a"), ("my_dev", "c"), ("test", "d")):
        save(tmp_path / f"{name}.csv", [text], [0])
    (tmp_path / "trainer.txt").write_text("no")
    tables = load_tables("csv", str(tmp_path))
    texts = {split: [t.texts("text") for t in of_split] for split, of_split in tables.items()}
    assert texts == {"train": [["a"], ["b"]], "validation": [["c"]], "test": [["d"]]}
    message = refused("jsonl", tmp_path)
    assert message.startswith(f"{tmp_path} needs jsonl files with train, validation and test")
    assert "found my_dev.csv, test.csv, train-0.csv" in message
    save(tmp_path / "train_test.csv")
    assert "train_test.csv has the names of several sets" in refused("csv", tmp_path)


def test_a_saved_hugging_face_dataset_is_read_with_its_classes(tmp_path):
    folder = tmp_path / "saved"
    features = {
        "text": {"_type": "Value"},
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
    }
    for split, count in (("train", 2), ("test", 1), ("unsupervised", 1)):
        (folder / split).mkdir(parents=True)
        names = [f"data-{i:05}-of-{count:05}.arrow" for i in range(count)]
        for i, name in enumerate(names):
            save(folder / split / name, [f"{split} {i}"] * 2, [0, 1])
        state = {"_data_files": [{"filename": name} for name in names[::-1]]}
        (folder / split / "state.json").write_text(json.dumps(state))
        (folder / split / "dataset_info.json").write_text(json.dumps({"features": features}))
    splits = {"splits": ["train", "test", "unsupervised"]}
    (folder / "dataset_dict.json").write_text(json.dumps(splits))
    tables = load_tables("arrow", str(folder))
    assert {split: len(of_split) for split, of_split in tables.items()} == {"train": 2, "test": 1}
    assert tables["train"][0].texts("text") == ["train 1"] * 2
    classes, labels = read_labels(tables, "label")
    assert (classes, labels["train"]) == (("bad", "good"), [0, 1, 0, 1])
    single = load_tables("arrow", str(folder / "test"))
    assert [table.texts("text") for table in single["train"]] == [["test 0"] * 2]
    (folder / "train" / "state.json").unlink()
    assert load_tables("arrow", str(folder))["train"][0].texts("text") == ["train 0"] * 2
    (folder / "dataset_dict.json").write_text('{"splits": ["all"]}')
    assert refused("arrow", folder) == f"{folder} has the splits all; needs train"
    (folder / "dataset_dict.json").write_text("{")
    assert "cannot read" in refused("arrow", folder)


def test_classes_are_read_from_the_schema_of_a_parquet_file(tmp_path):
    names = {"label": {"names": ["x", "y"], "_type": "ClassLabel"}}
    table = pa.table({"text": ["a", "b"], "label": [1, -1]})
    metadata = {"huggingface": json.dumps({"info": {"features": names}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    tables = load_tables("parquet", str(tmp_path / "a.parquet"))
    with pytest.raises(DataError, match=r"'-1' in row 2 of .* the classes are 0 to 1: x, y"):
        read_labels(tables, "label")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.csv", b"", "is empty; needs a header"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", b'text,label\na,0\n"b\nc",1\nd\n', "line 5 of"),
        ("a.csv", b"text,label\na,b,0\n", "has 3 fields, but the header has 2: text, label"),
        ("a.csv", b'text,label\n"a" b,0\n', "line 2 of"),
        ("a.csv", b'text,label\na,1\n"a,0\n', "is not CSV: unexpected end of data"),
        ("a.csv", b"text,text\na,b\n", "has the column 'text' twice"),
        ("a.csv", b"txt,label\na,0\n", "are txt, label; needs text (did you mean txt?)"),
        ("a.csv", b"text\nfine\nf\xfcr\n", "is not UTF-8 text: line 3 cannot be decoded"),
        ("a.jsonl", b"", "is empty; needs a JSON object"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2 of"),
        ("a.jsonl", b"[1, 2]\n", "is not a JSON object but [1, 2]"),
        ("a.jsonl", b'{"text": "a"}\n\n{"label": 1}\n', "line 3 of"),
        ("a.jsonl", b'{"text": 5}\n', "is 5, not text"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"text\n", "cannot read"),
        ("a.arrow", b"text\n", "cannot read"),
        ("a.arrow", b"", "is empty"),
    ],
)
def test_faulty_files_are_refused_in_one_line(tmp_path, name, content, part):
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(path.suffix[1:], path)
    assert part in message
    assert str(path) in message


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_a_missing_file_is_refused_with_the_nearest(tmp_path, form):
    save(tmp_path / f"reviews.{form}")
    message = refused(form, tmp_path / f"review.{form}")
    assert message.endswith(f"review.{form} (did you mean reviews.{form}?)")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.parquet")
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    message = "parquet: and arrow: need pyarrow, which the extra [data] installs"
    assert message in refused("parquet", tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("train", "test", "part"),
    [
        (["a", "b"], ["c"], "label 'c' in line 2 of .*; the classes are a, b"),
        (["good", "bad"], ["goood"], r"no class \(did you mean good\?\)"),
        (["a", ""], ["a"], r"the label in line 3 of .* is missing"),
        (["a", "a"], ["a"], "has 1 class, needs two"),
        (list("abcdef"), ["a"], "are not classes: 6 of 6 differ"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, train, test, part):
    save(tmp_path / "train.csv", ["x"] * len(train), train)
    save(tmp_path / "test.csv", ["x"] * len(test), test)
    with pytest.raises(DataError, match=part):
        read_labels(load_tables("csv", str(tmp_path)), "label")


def test_classes_are_in_the_order_of_names_or_numbers(tmp_path):
    for labels, expected in (
        (["10", "9", "9", "10"], ("9", "10")),
        (["b", "a", "a", "b"], ("a", "b")),
    ):
        save(tmp_path / "a.csv", ["x"] * 4, labels)
        classes, indices = read_labels(load_tables("csv", str(tmp_path / "a.csv")), "label")
        assert classes == expected
        assert indices == {"train": [1, 0, 0, 1]}
    pq.write_table(pa.table({"label": [1.0, 0.5]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"the label in row 2 of .* is 0.5, not a class"):
        read_labels(load_tables("parquet", str(tmp_path / "a.parquet")), "label")
