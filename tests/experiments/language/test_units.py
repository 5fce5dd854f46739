"""Features of a text are compared with Python's tokenizer, and units with planted ones."""

import inspect
import io
import textwrap
import tokenize

import jax
import numpy as np
import pytest

from data.catalogue import DataError
from experiments import char_lm
from experiments.language import units
from nets.language.recurrent_lm import LanguageModel
from tests.experiments.opened import opened

CODE = '''def f(a, b="it's"):  # don't (count)
    """Text, (with
    brackets and "quotes"."""
    return [a, {b: r'\\'' + "#"}]
'''


def marked(text, feature):
    """The text with a dot in place of each character where a binary feature is 0."""
    return "".join(c if on else "." for c, on in zip(text, feature, strict=True))


def test_strings_comments_and_brackets_are_those_of_the_tokenizer():
    text = inspect.getsource(textwrap)
    sizes = [0, *np.cumsum([len(line) for line in text.splitlines(keepends=True)])]
    string, comment, depth = np.zeros((3, len(text)))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        first, end = (sizes[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.STRING:
            quote = first + min(i for i in (text[first:end].find(q) for q in "'\"") if i >= 0)
            string[quote : end - 1] = 1
        elif token.type == tokenize.COMMENT:
            comment[first:end] = 1
        elif token.type == tokenize.OP and token.string in "([{)]}":
            depth[first:] += 1 if token.string in "([{" else -1
    features = units.features_of(text)
    np.testing.assert_array_equal(features["inside a string"], string)
    np.testing.assert_array_equal(features["inside a comment"], comment)
    np.testing.assert_array_equal(features["depth of brackets"], depth)
    assert string.sum() > 100
    assert comment.sum() > 100
    assert depth.max() > 1


def test_features_of_a_few_lines():
    features = units.features_of(CODE)
    lines = marked(CODE, features["inside a string"]).split(".")
    assert next(filter(None, lines)) == "\"it's"
    assert "don't" not in marked(CODE, features["inside a string"])
    assert "# don't (count)" in marked(CODE, features["inside a comment"])
    assert marked(CODE, features["inside a word"])[:16] == "def.f.a..b..it.s"
    np.testing.assert_array_equal(features["column in the line"][:3], [1, 2, 3])
    second = CODE.index("\n")
    np.testing.assert_array_equal(features["column in the line"][second : second + 3], [0, 1, 2])
    np.testing.assert_array_equal(
        features["indentation"][second : second + 7], [0, 1, 2, 3, 4, 4, 4]
    )
    assert set(features["depth of brackets"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (
            "'tis the dogs' day\nwell 'so'\n",
            "inside a string",
            "'tis the dogs" + "." * 11 + "'so..",
        ),
        ("x = '''a\nb", "inside a string", "....'''a\n."),
        ("a) b (c\n\nd e", "depth of brackets", ".....(c\n...."),
    ],
)
def test_any_text_has_features(text, name, expected):
    features = units.features_of(text)
    assert marked(text, features[name]) == expected
    assert {len(feature) for feature in features.values()} == {len(text)}


def test_a_planted_unit_is_found_with_its_correlation():
    rng = np.random.default_rng(0)
    text = CODE * 8
    features = units.features_of(text)
    states = rng.normal(0, 1, (len(text), 30))
    states[:, 3] = 0.5  # a unit that never changes
    for column, (name, sign) in enumerate(zip(features, [1, -1, 1, -1, 1, -1], strict=True), 10):
        states[:, column] = 0.1 * states[:, column] + 3 * sign * features[name]
    matches = units.find_units(states, features)
    assert [(name, unit) for name, unit, _ in matches] == list(
        zip(features, range(10, 16), strict=True)
    )
    half = len(text) // 2
    for name, unit, correlation in matches:
        expected = np.corrcoef(states[half:, unit], features[name][half:])[0, 1]
        assert correlation == pytest.approx(expected, abs=1e-9)
        assert abs(correlation) > 0.9
    states[:half, 10:], states[half:, 20] = 0, features["inside a string"][half:]
    first = units.find_units(states, features)[0]
    assert first.unit < 10  # a unit that follows the feature only in the second half is not chosen
    assert abs(first.correlation) < 0.3
    assert not units.find_units(
        states, {"never": np.zeros(len(text)), "once": np.eye(1, len(text), 3)[0]}
    )


def test_a_passage_is_where_the_feature_changes():
    text = "a" * 100 + "\n" + "b\n" * 20
    rows = units.rows_of(text)
    assert "".join(text[position] for row in rows for position in row) == text
    assert max(map(len, rows)) == units.WIDTH
    assert [len(row) for row in rows][:3] == [units.WIDTH, 101 - units.WIDTH, 2]
    feature = np.zeros(len(text))
    feature[5], feature[-7:-4] = 9, 1
    chosen = units.passage(rows, feature, 50)
    assert len(chosen) == units.ROWS
    assert feature[chosen[0][0] : chosen[-1][-1] + 1].sum() == 3


def test_states_are_the_cell_states_after_each_symbol():
    model = LanguageModel(9, "lstm", hidden=5, layers=2)
    ids = np.array([3, 1, 4, 1, 5])
    start = model.initialize_carry(1)
    variables = jax.jit(model.init)(jax.random.key(0), ids[None], start)
    last = jax.jit(model.apply)(variables, ids[None], start)[1]
    for states, carry in zip(units.states_of(model, variables, ids), last, strict=True):
        assert states.shape == (5, 5)
        np.testing.assert_allclose(states[-1], carry.c[0], atol=1e-6)


def test_mode_draws_the_units_it_finds(tmp_path, monkeypatch, capsys):
    (tmp_path / "text").write_text(CODE * 30)
    config = char_lm.Config(dataset=f"text:{tmp_path / 'text'}", hidden=4, layers=2, bptt_length=8)
    config.picture = str(tmp_path / "units.png")
    experiment = char_lm.build(config)

    def states_of(model, variables, ids):
        held_out = CODE * 30
        features = units.features_of(held_out[len(held_out) * 18 // 20 : len(held_out) * 19 // 20])
        planted = np.stack(list(features.values()), axis=1)[: len(ids)]
        return [0.1 * planted[:, ::-1] + variables, np.zeros((len(ids), 4))]

    monkeypatch.setattr(units, "states_of", states_of)
    monkeypatch.setattr(units, "ROWS", 1)
    run = opened(experiment.task, variables=1.0, evals=experiment.evals)
    units.units(run)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].split() == ["inside", "a", "string", "unit", "5", "of", "layer", "1", "+1.000"]
    assert (tmp_path / "units.png").stat().st_size > 10_000
    config.input, config.picture = str(tmp_path / "own"), str(tmp_path / "own.png")
    (tmp_path / "own").write_text("a")
    monkeypatch.setattr(units, "states_of", lambda *arguments: [np.zeros((1, 1))])
    with pytest.raises(DataError, match="too short or too uniform"):
        units.units(run)


def test_the_colours_of_the_units_have_a_scale(monkeypatch):
    figures = []
    monkeypatch.setattr(units, "save_to", lambda output, figure: figures.append(figure))
    text, state = "ab (c)\n" * 2, np.linspace(-1, 1, 14)
    feature = units.features_of(text)["depth of brackets"]
    match = units.Match("depth", 0, 0.5)
    units.draw(text, state[:, None], {"depth": feature}, [match], names=["unit 0"], output=None)
    passage, scale = figures[0].axes
    assert [label.get_text() for label in scale.get_xticklabels()] == ["low", "median", "high"]
    colours = passage.images[0].get_array()
    np.testing.assert_allclose(colours[0, 6], units.COLOURS(1.0)[:3])  # the highest state


def test_a_character_without_a_font_is_its_code_point_in_a_cell():
    assert units.glyph_of("\n") == "↵"
    assert units.glyph_of("a") == "a"
    assert units.glyph_of("\\") == "\\"
    assert units.glyph_of("\x07") == "07"
    assert units.glyph_of("\U000e1234") == "00\n0e\n12\n34"
