"""Several language pairs: shared modules, alternation, scores by pair, invalid pairs."""

from dataclasses import replace

import numpy as np
import pytest

from data.catalogue import DataError
from experiments import multiway_nmt
from experiments.translation import modes
from experiments.translation.search import Hypothesis
from tests.experiments.opened import opened
from train.config import ConfigError
from train.evaluate import Predictor
from train.loop import fit
from train.metrics import read_metrics
from train.rundir import read_json

E, H = 3, 5
SIZE = {
    "hidden": H,
    "embedding": E,
    "batch_size": 4,
    "heldout_examples": 10,
    "beam_size": 2,
    "max_length": 8,
}
# variables in which each module is represented by the name of its language
NAMES = {
    "params": {f"{kind}_{x}": x for kind in ("encoders", "decoders") for x in ("en", "de", "fr")}
}


def build(**changes):
    config = multiway_nmt.Config(**SIZE, **changes)
    config.check()
    return multiway_nmt.build(config)


def answer_some(monkeypatch, task, count):
    """Make a task translate the first `count` sentences correctly; return the variables it gets."""
    calls = []

    def translate(variables, batches):
        calls.append(variables)
        references = [reference for _, reference in batches.examples]
        texts = [*references[:count], *["-"] * (len(references) - count)]
        return [Hypothesis(0.0, text, False) for text in texts]

    monkeypatch.setattr(task, "translate", translate)
    return calls


@pytest.fixture(scope="module")
def experiment():
    """English to French, German to French, English to German."""
    return build()


def test_two_steps_of_two_pairs_leave_the_scores_of_each_and_their_means(tmp_path, monkeypatch):
    changes = {"language_pairs": "en-fr+de-fr", "steps": 2, "log_every": 1, "figures_at": ()}
    config = multiway_nmt.Config(**SIZE, **changes)
    experiment = multiway_nmt.build(config)
    for pair, count in (("en-fr", 10), ("de-fr", 4)):
        answer_some(monkeypatch, experiment.task.tasks[pair], count)
    result = fit(experiment, config, tmp_path)
    metrics = result["metrics"]
    assert (result["headline"], result["objective"]) == ("test/exact", "validation/loss")
    assert metrics["test/exact en-fr"] == 1
    assert metrics["validation/exact de-fr"] == pytest.approx(0.4)
    assert metrics["test/exact"] == pytest.approx(0.7)
    losses = [line["train/loss"] for line in read_metrics(tmp_path) if "train/loss" in line]
    assert len(losses) == 2
    assert np.isfinite([*losses, *metrics.values()]).all()
    assert read_json(tmp_path / "data.json")["parameters"] == experiment.provenance["parameters"]


def encoder(symbols):
    """Parameters of an embedding, and of a GRU per direction: three gates with a bias each."""
    return symbols * E + 2 * 3 * H * (E + H + 1)


def decoder(symbols):
    """Embedding, GRU, bridge from both directions, additive attention, combination, output."""
    attention = (2 * H + 1) * H + H * H + H  # of the memory, of the query, and v
    return (
        symbols * E
        + 3 * H * (E + H + 1)
        + (2 * H + 1) * H
        + attention
        + (2 * H + H) * H
        + (H + 1) * symbols
    )


def test_modules_are_shared_by_language_or_each_pair_has_its_own(experiment):
    en, de, fr = (experiment.provenance[f"symbols {x}"] for x in ("en", "de", "fr"))
    shared = encoder(en) + encoder(de) + decoder(fr) + decoder(de)
    assert experiment.provenance["parameters"] == shared
    own = build(shared=False)
    separate = encoder(en) + encoder(de) + encoder(en) + decoder(fr) + decoder(fr) + decoder(de)
    assert own.provenance["parameters"] == separate
    for step in range(3):  # both are trained on the same batches
        ours, theirs = experiment.train(step), own.train(step)
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours | theirs)


def test_a_step_reads_one_pair_and_the_pairs_alternate(experiment):
    pairs = ["en-fr", "de-fr", "en-de"]
    for step in range(6):
        batch = experiment.train(step)
        assert {key.partition("/")[0] for key in batch} == {pairs[step % 3]}
    single = build(language_pairs="de-fr").train(1)  # batches of a pair depend on no other pair
    assert all(np.array_equal(single[key], experiment.train(4)[key]) for key in single)


def test_batches_are_in_the_vocabularies_of_the_pair(experiment):
    for pair, task in experiment.task.tasks.items():
        held_out = experiment.evals["validation"].sets[pair]
        for batch in held_out:
            rows = batch["index"] >= 0
            sides = (("source", task.source), ("targets", task.target))
            for side, (key, words) in enumerate(sides):
                expected = [held_out.examples[index][side] for index in batch["index"][rows]]
                assert [words.decode(ids) for ids in batch[key][rows]] == expected
    tasks = experiment.task.tasks
    assert tasks["de-fr"].source == tasks["en-de"].target != tasks["en-fr"].source


def test_scores_are_by_pair_and_their_mean(experiment, monkeypatch):
    correct = {"en-fr": 10, "de-fr": 4, "en-de": 1}
    calls = {
        pair: answer_some(monkeypatch, experiment.task.tasks[pair], count)
        for pair, count in correct.items()
    }
    scores = experiment.task.scores(Predictor(NAMES, None), experiment.evals["test"])
    for pair, count in correct.items():
        source, target = pair.split("-")
        assert calls[pair] == [{"params": {"encoder": source, "decoder": target}}]
        assert scores[f"exact {pair}"] == pytest.approx(count / 10)
    assert scores["exact"] == pytest.approx(0.5)
    assert scores["bleu"] == pytest.approx(np.mean([scores[f"bleu {pair}"] for pair in correct]))


@pytest.mark.parametrize(("direction", "pair"), [("", "en-fr"), ("en-de", "en-de")])
def test_a_mode_uses_the_network_of_its_direction(experiment, monkeypatch, direction, pair):
    config = replace(experiment.task.config, direction=direction)
    run = opened(experiment.task, variables=NAMES, config=config)
    task, variables = modes.selected(run)
    assert task is experiment.task.tasks[pair]
    source, target = pair.split("-")
    assert variables == {"params": {"encoder": source, "decoder": target}}
    run = opened(experiment.task, config=replace(config, direction="en-es"))
    with pytest.raises(ConfigError, match=r"en-de, got 'en-es' \(did you mean en-de\?\)"):
        modes.selected(run)


def test_parallel_text_has_one_vocabulary_per_language(tmp_path):
    lines = {
        "en": [f"{n} cats" for n in range(9)],
        "de": [f"{n} Katzen" for n in range(9)],
        "fr": [f"{n} chats" for n in range(9)],
    }
    for language, texts in lines.items():
        for split, count in (("train", 9), ("val", 3), ("test", 2)):
            path = tmp_path / f"{split}.{language}"
            path.write_text("".join(f"{text}\n" for text in texts[:count]))
    experiment = build(dataset=f"pairs:{tmp_path}", tokenizer="words", vocab_size=40)
    tasks = experiment.task.tasks
    assert set(tasks["en-fr"].source.symbols) == {"cats", *"012345678"}
    assert set(tasks["en-de"].target.symbols) == {"Katzen", *"012345678"}
    assert tasks["en-fr"].source == tasks["en-de"].source != tasks["de-fr"].source
    assert experiment.task.headline == "bleu"
    assert experiment.provenance["dataset"] == "pairs"
    assert experiment.provenance["pairs en-de"] == 9
    pairs = experiment.evals["test"].sets["de-fr"].examples
    assert [reference for _, reference in pairs] == lines["fr"][:2]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"language_pairs": "enfr"}, DataError, "'enfr' is not a pair of languages"),
        ({"language_pairs": "en-xx"}, DataError, "there is no language 'xx'"),
        ({"language_pairs": "en-fr+en-fr"}, DataError, "contains the pair 'en-fr' twice"),
        ({"dataset": "tsv:cats.tsv"}, DataError, "'tsv:cats.tsv'; available: dates, pairs:FOLDER"),
        ({"dataset": "dats"}, DataError, r"'dats' \(did you mean dates\?\); .* pairs:FOLDER"),
        ({"n_best": 3}, ConfigError, r"n_best must be at most config\.beam_size, 2, got 3"),
    ],
)
def test_an_invalid_setting_is_one_line(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
