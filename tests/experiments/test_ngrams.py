"""N-gram models: the same scored words as recurrent ones, sampled text, counted baselines."""

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import kneser_ney
from data.text.streams import EvaluationWindows
from experiments import ngram_lm
from nets.language.kneser_ney import fit_kneser_ney, ngram_log_probs
from train.evaluate import Evaluator
from train.placement import Placement

WORDS = ["a b c", "b a", "c c a b", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("words")
    for split in ("train", "valid", "test"):
        (path / f"{split}.txt").write_text("\n".join(WORDS * 9) + "\nrare a\n")
    return path


@pytest.fixture(scope="module")
def model(folder):
    """Experiment and random variables of a small model."""
    sizes = {"hidden": 6, "embedding": 5, "context_size": 3, "min_count": 2, "batch_size": 4}
    config = ngram_lm.Config(
        dataset=f"words:{folder}", prompt="a b c a b", temperature=0.0, sample_length=8, **sizes
    )
    experiment = ngram_lm.build(config)
    state, _ = Placement(4).init(experiment, 3, experiment.train(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.9, leaf.shape)), state.params)
    return experiment, {"params": params}


def test_every_held_out_word_but_the_first_is_scored_once(model):
    experiment, variables = model
    task, held_out = experiment.task, experiment.evals["test"]
    ids = task.vocabulary.encode("\n".join(WORDS * 9) + "\nrare a\n")
    stream = [b["targets"][b["mask"] > 0] for b in EvaluationWindows(ids, 1, 7)]
    ngrams = [b["targets"][b["mask"] > 0] for b in held_out]
    np.testing.assert_array_equal(np.concatenate(ngrams), np.concatenate(stream))
    end = task.vocabulary.encode("\n").tolist()
    padded = np.array(3 * end + ids.tolist())
    contexts = np.array([padded[i : i + 3] for i in range(1, len(ids))])
    logits = jax.jit(task.model.apply)(variables, contexts)
    nats = -np.asarray(jax.nn.log_softmax(logits))[np.arange(len(ids) - 1), ids[1:]]
    metrics = Evaluator(task, Placement(4))(variables, held_out)
    assert metrics["loss"] == pytest.approx(nats.mean(), abs=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
    correct = np.asarray(logits).argmax(axis=1) == ids[1:]
    assert 0 < metrics["accuracy"] == pytest.approx(correct.mean())


@pytest.mark.parametrize("prompt", ["", "b", "a b c a b"])
def test_greedy_text_continues_with_the_most_probable_word(model, prompt):
    experiment, variables = model
    task = experiment.task
    task.config.prompt = prompt
    start = prompt or "\n"
    ids = task.vocabulary.encode("\n" * 3 + start).tolist()
    prompt_length = len(ids)
    (unknown,) = task.suppressed
    apply = jax.jit(task.model.apply)
    for _ in range(8):
        logits = np.array(apply(variables, np.array([ids[-3:]]))[0])
        logits[unknown] = -np.inf
        ids.append(int(logits.argmax()))
    text = task.generate(variables)
    assert text == start + task.vocabulary.decode(ids[prompt_length:]) + "\n"
    assert "<unk>" not in text


def test_counted_models_are_scored_and_saved(folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "counted.json"
    words = ["--dataset", f"words:{folder}", "--min_count", "2", "--orders", "1", "3"]
    monkeypatch.setattr(sys, "argv", ["kneser_ney", *words, f"--save={path}"])
    kneser_ney.main()
    saved = json.loads(path.read_text())
    assert [row["settings"] for row in saved["rows"]] == [{"order": 1}, {"order": 3}]
    config = ngram_lm.Config(dataset=f"words:{folder}", context_size=2, min_count=2, batch_size=4)
    experiment = ngram_lm.build(config)
    grams = {name: held_out.grams for name, held_out in experiment.evals.items()}
    model = fit_kneser_ney(experiment.train.grams, experiment.provenance["vocabulary"])
    for name, ids in grams.items():
        expected = math.exp(-ngram_log_probs(model, ids).mean())
        assert saved["rows"][1]["metrics"][f"{name}/perplexity"] == [pytest.approx(expected)]
    assert f"{expected:.3f}" in capsys.readouterr().out
    assert saved["data"]["sha256"] == experiment.provenance["sha256"]
    assert str(folder) not in path.read_text()


def test_a_model_of_sentences_is_written_and_scored_from_its_file(folder, monkeypatch, capsys):
    path = folder.parent / "lm.arpa"
    data = ["kneser_ney", "--dataset", f"words:{folder}"]
    counted = ["--min_count=2", "--orders", "2", "--sentences", f"--write_arpa={path}"]
    monkeypatch.setattr(sys, "argv", [*data, *counted])
    kneser_ney.main()
    first = capsys.readouterr().out.splitlines()[-1].split("|")[1:-2]  # without the seconds
    monkeypatch.setattr(sys, "argv", [*data, f"--read_arpa={path}"])
    kneser_ney.main()
    assert capsys.readouterr().out.splitlines()[-1].split("|")[1:-2] == first
    assert float(first[2]) > 1
    assert "\t<s> a\n" in path.read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--dataset=words:nowhere"], "words: needs a folder, but"),
        (["--orders", "2", "0"], "the order of n-grams must be at least 1, got 0"),
        (["--orders", "9", "--sentences"], "no sentence has "),
        (["--read_arpa=nowhere"], "there is no file nowhere"),
        (["--read_arpa=x", "--save=y"], "--read_arpa cannot be combined with"),
    ],
)
def test_an_error_of_the_benchmark_is_one_line(folder, monkeypatch, capsys, words, line):
    arguments = ["--dataset", f"words:{folder}", "--min_count=2", *words]
    monkeypatch.setattr(sys, "argv", ["kneser_ney", *arguments])
    with pytest.raises(SystemExit) as stopped:
        kneser_ney.main()
    assert stopped.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
