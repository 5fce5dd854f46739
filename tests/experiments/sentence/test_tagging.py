"""Taggers: metrics, pictures and printed tags; networks within a parameter budget."""

import io
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from data.catalogue import DataError
from data.sentences import python_tokens
from data.sentences.schemes import violation
from data.sentences.tag_files import Sentence
from experiments import opinion_spans, pos_tagger
from experiments.common.pictures import columns_of
from experiments.sentence.spans import span_scores
from experiments.sentence.tag_modes import coloured, span_lines, tag
from experiments.sentence.tag_sheet import (
    box_style,
    characters_in_lines,
    tag_sheet,
    words_in_lines,
)
from experiments.sentence.tagging import make_network, parameter_count, read_corpus
from nets.sentence.linear_crf import Chain
from tests.experiments.opened import opened
from train.config import ConfigError

SIZE = {
    "min_count": 1,
    "hidden": 3,
    "embedding": 4,
    "char_features": 2,
    "max_characters": 4,
    "batch_size": 4,
}
TEXT = "Ann NNP B-PER\nsaw VBD O\nBob NNP B-PER\nLee NNP I-PER\n\nIt PRP O\nrains VBZ O\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("conll")
    for split in ("train", "dev", "test"):
        (path / f"{split}.txt").write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def network(folder):
    """Experiment of spans, and the predictions of a network with random parameters."""
    config = pos_tagger.Config(dataset=f"conll:{folder}", **SIZE)
    experiment = pos_tagger.build(config)
    task, batch = experiment.task, experiment.train(0)
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype("f"), shapes)
    apply = jax.jit(task.apply)
    return experiment, lambda batch: apply(variables, batch, ())


def test_loss_is_a_mean_over_words_and_scores_are_of_the_best_paths(network):
    experiment, predict = network
    task, held_out = experiment.task, experiment.evals["validation"]
    (batch,) = held_out
    outputs, _ = predict(batch)
    means = jax.jit(task.means)(outputs, batch)
    chain = jax.device_get(outputs)
    total, best = 0.0, {}
    for row in range(2):  # of four and of two words
        length, index = batch["lengths"][row], batch["index"][row]
        scores = {}
        for path in np.ndindex((3,) * length):
            score = chain.start[path[0]] + chain.end[path[-1]]
            score += sum(chain.emissions[row, t, k] for t, k in enumerate(path))
            scores[path] = score + sum(chain.transitions[path[:-1], path[1:]])
        total += np.logaddexp.reduce([*scores.values()])
        total -= scores[tuple(batch["tags"][row, :length].tolist())]
        best[index] = [task.vocabularies.tags[i] for i in max(scores, key=scores.get)]
    predicted = [best[index] for index in range(2)]
    true = [sentence.tags for sentence in held_out.examples]
    np.testing.assert_allclose(means["loss"].value, total / 6, rtol=1e-5)
    pairs = [p for x, y in zip(true, predicted, strict=True) for p in zip(x, y, strict=True)]
    np.testing.assert_allclose(means["accuracy"].value, np.mean([a == b for a, b in pairs]))
    assert task.best_tags(predict, held_out, 2) == predicted
    expected = span_scores(zip(true, predicted, strict=True))
    scores = task.scores(predict, held_out)
    assert set(scores) == {
        "span_precision",
        "span_recall",
        "span_f1",
        "binary_f1",
        "proportional_f1",
    }
    assert all(expected[name] == score for name, score in scores.items())
    assert task.headline == "span_f1"


def test_each_line_of_a_text_is_tagged_and_printed_in_columns(network, monkeypatch, capsys):
    experiment, predict = network
    text = "Ann sees Bob Lee.\n\n  It rained.  \n"
    tagged = experiment.task.tag_text(predict, text)
    assert [words for words, _ in tagged] == [
        ["Ann", "sees", "Bob", "Lee", "."],
        ["It", "rained", "."],
    ]
    single = experiment.task.tag_text(predict, "It rained.")
    assert single == tagged[1:]
    assert experiment.task.tag_text(predict, "\n") == []
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    tag(opened(experiment.task, predict))
    rows = ["".join(f"{w}\t{t}\n" for w, t in zip(*pair, strict=True)) + "\n" for pair in tagged]
    assert capsys.readouterr().out == "".join(rows)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It rained.")))
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    tag(opened(experiment.task, predict))
    assert (
        terminal.getvalue() == coloured(*single[0], experiment.task.vocabularies.tags, False) + "\n"
    )


def test_pictures_of_a_tagger(network):
    experiment, predict = network
    figures = experiment.task.figures(predict, experiment.evals["validation"])
    assert set(figures) == {"confusion", "sentences"}


def test_characters_are_tagged_as_one_text(tmp_path, monkeypatch, capsys):
    paths = [tmp_path / f"{i}.py" for i in range(20)]
    for path in paths:
        path.write_text("a = 'b'  # c\n" * 9)
    monkeypatch.setattr(python_tokens, "standard_library", lambda: paths)
    config = pos_tagger.Config(train_chunks=8, chunk_length=8, **SIZE)
    corpus, vocabularies = read_corpus(config)
    assert corpus.by_character
    assert vocabularies.letter_ids == 0
    assert "A" not in vocabularies.words.words
    task = pos_tagger.build(config).task
    answer = ["O", "O", "B-STRING", "I-STRING", "I-STRING", "O", "B-COMMENT"]
    monkeypatch.setattr(task, "best_tags", lambda *_: [answer])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x='\n'\n#")))
    tag(opened(task))
    assert capsys.readouterr().out == "1:3\tSTRING\t\"'\\n'\"\n3:1\tCOMMENT\t'#'\n"


def test_colours_by_hand():
    names = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    words, tags = ["to", "New", "York", ",", "Ann"], ["O", "B-LOC", "I-LOC", "O", "B-PER"]
    expected = (
        "to \033[4;34mNew York\033[0m\033[2m/LOC\033[0m , \033[4;31mAnn\033[0m\033[2m/PER\033[0m"
    )
    assert coloured(words, tags, names, False) == expected
    strings = ("O", "B-STRING", "I-STRING")
    text = coloured("a'\n'b", ["O", *strings[1:], "I-STRING", "O"], strings, True)
    assert text == "a\033[4;34m'\033[0m\n\033[4;34m'\033[0m\033[2m/STRING\033[0mb"
    text = coloured(["a", "b"], ["DET", "NOUN"], ("DET", "NOUN"), False)
    assert text == "\033[34ma\033[0m\033[2m/DET\033[0m \033[31mb\033[0m\033[2m/NOUN\033[0m"
    assert coloured(["a", "b"], ["B", "I"], ("O", "B", "I"), False) == "\033[4;34ma b\033[0m"


def test_positions_of_spans_count_from_1():
    tags = ["O", "B-X", "I-X", "I-X", "B-Y"]
    assert span_lines("a\n'b#", tags) == ['1:2\tX\t"\\n\'b"\n', "2:3\tY\t'#'\n"]


def test_words_have_room_for_their_labels_and_characters_keep_their_lines():
    ((first, second),) = words_in_lines(["to", "go"], ["ADP", "VERB"], ["PART", "VERB"])
    assert first[:2] == (0, "to")
    # "ADP (PART)" has ten characters of 3/4 of the size, and a space follows
    assert second[:2] == (9, "go")
    lines = words_in_lines(["word"] * 41, ["X"] * 41, ["X"] * 41)
    assert [len(line) for line in lines] == [20, 20, 1]
    assert lines[1][0].column == 0
    tags = ["O", "B-S", "I-S", "I-S", "I-S", "O", "I-S"]
    lines = characters_in_lines("a''\n'bc", tags, [*tags[:6], "O"])
    cells = [[cell[:3] for cell in line] for line in lines]
    assert cells == [
        [(0, "a", "O"), (1, "''", "B-S")],
        [(0, "'", "I-S"), (1, "b", "O"), (2, "c", "I-S")],
    ]


def test_wide_characters_and_those_without_a_font_keep_their_columns():
    nowhere = "\U000e1234"  # a character that no font has
    ((first, second),) = words_in_lines([f"é{nowhere}", "b"], ["X", "X"], ["X", "X"])
    assert first[:2] == (0, "é\\U000e1234")
    assert second.column == 12
    lines = characters_in_lines(f"{nowhere}b" * 20, ["X", "O"] * 20, ["X", "O"] * 20)
    assert [sum(len(cell.text) for cell in line) for line in lines] == [99, 99, 22]
    assert [cell.column for cell in lines[1][:3]] == [0, 10, 11]
    assert columns_of("a日b") == 4


def test_types_have_different_frames():
    styles = [box_style(i) for i in range(28)]
    assert len({(style["edgecolor"], style["linestyle"]) for style in styles}) == 28


def test_a_sheet_without_spans_or_errors_can_be_drawn():
    figure = tag_sheet([Sentence(["$x$"], ["O"])], [["O"]], False)
    assert len(figure.axes[0].texts) == 1


def test_a_network_is_the_largest_within_its_budget(folder):
    config = opinion_spans.Config(
        dataset=f"conll:{folder}", layers=2, parameter_budget=3000, **SIZE
    )
    network = opinion_spans.build(config).task.model
    _, vocabularies = read_corpus(config)
    wider = make_network(config, vocabularies, network.encoder.core.hidden + 1)
    assert parameter_count(network) <= 3000 < parameter_count(wider)


def test_embeddings_do_not_count_as_parameters(network):
    model = network[0].task.model
    # an LSTM of 3 units per direction on 4 + 2 features, 3 tags in a chain, 2 kernels of 3 x 25
    expected = 2 * (4 * 3 * (6 + 3 + 1)) + (6 * 3 + 3) + (9 + 3 + 3) + (3 * 25 * 2 + 2)
    assert parameter_count(model) == expected


def test_invalid_settings_are_refused(folder):
    with pytest.raises(ConfigError, match=r"config.parameter_budget must be at least .*, got 5"):
        opinion_spans.build(
            opinion_spans.Config(dataset=f"conll:{folder}", parameter_budget=5, **SIZE)
        )
    config = {"dataset": f"conll:{folder}", "tag_column": 2, **SIZE}
    with pytest.raises(
        DataError,
        match=r"spans need tags .*BIOES.*, but there is the tag NNP in line 1 of .*train.txt",
    ):
        opinion_spans.build(opinion_spans.Config(**config))
    odd = pos_tagger.Config(**config | {"char_encoder": "recurrent", "char_features": 3})
    with pytest.raises(ConfigError, match=r"config.char_features must be even with .*, got 3"):
        pos_tagger.build(odd)
    task = pos_tagger.build(pos_tagger.Config(**config)).task
    assert task.headline == "accuracy"
    assert task.scores(SimpleNamespace(), []) == {}


BIOES = "Ann S-PER\nsaw O\nBob B-PER\nLee E-PER\n\nIt O\nrains O\n"


def bioes_of(folder, test=BIOES, **settings):
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text(test if split == "test" else BIOES)
    return pos_tagger.Config(dataset=f"conll:{folder}", **SIZE, **settings)


def test_an_unseen_tag_is_wrong_and_the_tag_that_fits_no_scheme_is_named(tmp_path, capsys):
    experiment = pos_tagger.build(bioes_of(tmp_path, test=BIOES.replace("S-PER", "S-LOC")))
    assert experiment.task.headline == "span_f1"
    assert experiment.provenance["scheme"] == "BIOES"
    assert experiment.task.vocabularies.tags == ("O", "B-PER", "I-PER", "E-PER", "S-PER")
    path = tmp_path / "test.txt"
    line = f"1 words of the test, the first in line 1 of {path}, have the tag S-LOC, which training"
    assert line in capsys.readouterr().err
    task, held_out = experiment.task, experiment.evals["test"]
    (batch,) = held_out
    tags = np.maximum(batch["tags"], 0)
    emissions = 50.0 * np.eye(5, dtype=np.float32)[tags]  # the right tags, and O for the unseen one
    outputs = Chain(emissions, np.zeros((5, 5), np.float32))
    means = jax.jit(task.means)(outputs, batch)
    assert float(means["accuracy"].value) == pytest.approx(5 / 6)
    assert float(means["loss"].weight) == 2  # the words of the other sentence
    assert float(means["loss"].value) == pytest.approx(0, abs=1e-5)
    scores = task.scores(lambda batch: (outputs, ()), held_out)
    assert (scores["span_precision"], scores["span_recall"]) == (1, 0.5)
    assert set(task.figures(lambda batch: (outputs, ()), held_out)) == {"confusion", "sentences"}
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text(BIOES + "\nOslo b-LOC\n")
    pos_tagger.build(pos_tagger.Config(dataset=f"conll:{tmp_path}", **SIZE))
    line = f"spans are not scored, because the tag b-LOC in line 9 of {tmp_path / 'train.txt'} does"
    assert line in capsys.readouterr().err


def test_constrained_tags_follow_the_scheme(tmp_path, capsys):
    config = bioes_of(tmp_path, test=BIOES.replace("E-PER", "B-PER"), constrain_tags=True)
    experiment = pos_tagger.build(config)
    assert "1 sentences of the test set have tags that BIOES" in capsys.readouterr().err
    task = experiment.task
    names = task.vocabularies.tags
    rng = np.random.default_rng(0)
    lengths = np.array([4, 2], np.int32)
    shapes = {"emissions": (2, 4, 5), "transitions": (5, 5), "start": (5,), "end": (5,)}
    chain = Chain(**{name: rng.normal(0, 3, s).astype("f") for name, s in shapes.items()})
    tags = np.array([[4, 0, 1, 3], [0, 0, 0, 0]], np.int32)
    batch = {"tags": tags, "lengths": lengths, "mask": np.arange(4) < lengths[:, None]}
    valid, nats = {}, 0.0
    for row, length in enumerate(lengths):
        paths = [
            path
            for path in np.ndindex((5,) * length)
            if violation("BIOES", [names[i] for i in path]) is None
        ]
        scores = [
            chain.start[path[0]]
            + chain.end[path[-1]]
            + sum(chain.emissions[row, t, k] for t, k in enumerate(path))
            + sum(chain.transitions[path[:-1], path[1:]])
            for path in paths
        ]
        valid[row] = paths[int(np.argmax(scores))]
        own = paths.index(tuple(tags[row, :length].tolist()))
        nats += np.logaddexp.reduce(scores) - scores[own]
    means = jax.jit(task.means)(chain, batch)
    np.testing.assert_allclose(means["loss"].value, nats / 6, rtol=1e-5)
    best = np.asarray(task._best(chain, lengths))
    assert [tuple(best[row, :length]) for row, length in enumerate(lengths)] == [*valid.values()]
    impossible = {**batch, "tags": np.array([[4, 0, 1, 1], [0, 0, 0, 0]], np.int32)}
    assert float(jax.jit(task.means)(chain, impossible)["loss"].weight) == 2
    (tmp_path / "train.txt").write_text(BIOES + "\nOslo E-LOC\n")
    path = tmp_path / "train.txt"
    with pytest.raises(DataError, match=rf"BIOES does not allow the tag E-LOC in line 9 of {path}"):
        pos_tagger.build(config)
    with pytest.raises(ConfigError, match=r"constrain_tags needs tags of spans and config\.output"):
        pos_tagger.build(bioes_of(tmp_path, constrain_tags=True, output="softmax"))
