"""Several language pairs: what they share, whose turn it is, scores by pair, bad pairs."""

import numpy as np
import pytest

from data.catalogue import DataError
from experiments import multiway_nmt
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
# every part stands for its language
NAMES = {
    "params": {f"{kind}_{x}": x for kind in ("encoders", "decoders") for x in ("en", "de", "fr")}
}


def build(**changes):
    config = multiway_nmt.Config(**SIZE, **changes)
    config.check()
    return multiway_nmt.build(config)


def answer_some(monkeypatch, task, count):
    """Let a task translate the first `count` sentences rightly; returns the variables it had."""
    seen = []

    def translate(variables, batches):
        seen.append(variables)
        return [*batches.references[:count], *["-"] * (len(batches.references) - count)]

    monkeypatch.setattr(task, "translate", translate)
    return seen


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
    """Parameters of a table and of a GRU in each direction: three gates with a bias each."""
    return symbols * E + 2 * 3 * H * (E + H + 1)


def decoder(symbols):
    """Table, GRU, bridge from both directions, additive attention, combination, output."""
    attention = (2 * H + 1) * H + H * H + H  # of the memory, of the query, and v
    return (
        symbols * E
        + 3 * H * (E + H + 1)
        + (2 * H + 1) * H
        + attention
        + (2 * H + H) * H
        + (H + 1) * symbols
    )


def test_parts_are_shared_by_language_or_each_pair_has_its_own(experiment):
    en, de, fr = (experiment.provenance[f"symbols {x}"] for x in ("en", "de", "fr"))
    shared = encoder(en) + encoder(de) + decoder(fr) + decoder(de)
    assert experiment.provenance["parameters"] == shared
    own = build(shared=False)
    apart = encoder(en) + encoder(de) + encoder(en) + decoder(fr) + decoder(fr) + decoder(de)
    assert own.provenance["parameters"] == apart
    for step in range(3):  # the comparison is on the same batches
        ours, theirs = experiment.train(step), own.train(step)
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours | theirs)


def test_a_step_is_of_one_pair_and_the_pairs_take_turns(experiment):
    pairs = ["en-fr", "de-fr", "en-de"]
    for step in range(6):
        batch = experiment.train(step)
        assert {key.partition("/")[0] for key in batch} == {pairs[step % 3]}
    alone = build(language_pairs="de-fr").train(1)  # what a pair reads depends on no other pair
    assert all(np.array_equal(alone[key], experiment.train(4)[key]) for key in alone)


def test_batches_are_in_the_vocabularies_of_the_pair(experiment):
    for pair, task in experiment.task.tasks.items():
        held_out = experiment.evals["validation"].sets[pair]
        for batch in held_out:
            rows = batch["index"] >= 0
            for key, words, texts in (
                ("source", task.source, held_out.sources),
                ("targets", task.target, held_out.references),
            ):
                expected = [texts[place] for place in batch["index"][rows]]
                assert [words.decode(ids) for ids in batch[key][rows]] == expected
    tasks = experiment.task.tasks
    assert tasks["de-fr"].source == tasks["en-de"].target != tasks["en-fr"].source


def test_scores_are_by_pair_and_their_mean(experiment, monkeypatch):
    right = {"en-fr": 10, "de-fr": 4, "en-de": 1}
    seen = {
        pair: answer_some(monkeypatch, experiment.task.tasks[pair], count)
        for pair, count in right.items()
    }
    scores = experiment.task.scores(Predictor(NAMES, None), experiment.evals["test"])
    for pair, count in right.items():
        source, target = pair.split("-")
        assert seen[pair] == [{"params": {"encoder": source, "decoder": target}}]
        assert scores[f"exact {pair}"] == pytest.approx(count / 10)
    assert scores["exact"] == pytest.approx(0.5)
    assert scores["bleu"] == pytest.approx(np.mean([scores[f"bleu {pair}"] for pair in right]))


@pytest.mark.parametrize(("direction", "pair"), [("", "en-fr"), ("en-de", "en-de")])
def test_a_mode_has_the_network_of_its_direction(experiment, monkeypatch, direction, pair):
    monkeypatch.setattr(experiment.task.config, "direction", direction)
    got = []
    multiway_nmt.in_direction(lambda *a: got.extend(a), experiment.task, Predictor(NAMES, None))
    assert got[0] is experiment.task.tasks[pair]
    source, target = pair.split("-")
    assert got[1].variables == {"params": {"encoder": source, "decoder": target}}


def test_parallel_text_has_one_vocabulary_a_language(tmp_path):
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
    assert list(experiment.evals["test"].sets["de-fr"].references) == lines["fr"][:2]


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"language_pairs": "enfr"}, DataError, "'enfr' is not a pair of languages"),
        ({"language_pairs": "en-xx"}, DataError, "there is no language 'xx'"),
        ({"language_pairs": "en-fr+en-fr"}, DataError, "contains the pair 'en-fr' twice"),
        ({"dataset": "tsv:cats.tsv"}, ConfigError, "must be dates or pairs:FOLDER, got 'tsv:cats"),
        ({"direction": "fr-en"}, ConfigError, "must be one of en-fr, de-fr, en-de"),
        ({"n_best": 3}, ConfigError, "n_best must be at most beam_size, 2"),
    ],
)
def test_bad_pairs_are_one_line(changes, error, part):
    with pytest.raises(error, match=part) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
