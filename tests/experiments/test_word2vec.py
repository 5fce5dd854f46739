"""Word vectors: objectives pair by pair in numpy, learning, scores, modes, invalid input."""

import io
import types

import jax
import numpy as np
import pytest

from data.text.analogies import normalized
from data.text.vectors import read_vectors
from data.text.words import WordVocabulary
from experiments import word2vec
from experiments.language.ask import ask
from experiments.language.vectors import (
    WordTests,
    answers,
    nearest,
    rank_correlation,
    save,
)
from experiments.word2vec import hierarchical_nats, noise_nats, softmax_nats
from nets.language.huffman import huffman_tree
from tests.experiments.opened import opened
from train.config import ConfigError
from train.placement import Placement

# two kinds of sentences without common words: a word is similar to those of its own kind
KINDS = [["red", "green", "blue", "pink", "grey"], ["one", "two", "three", "four", "five"]]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 200), ("valid", 20), ("test", 20)):
        lines = [" ".join(rng.choice(KINDS[i % 2], 6)) for i in range(count)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    (tmp_path / "pairs").write_text("red,green,9\nblue,pink,9\none,two,9\nred,one,1\nfive,pink,1\n")
    (tmp_path / "analogies").write_text(": kinds\nred green one two\n")
    return tmp_path


def config_of(folder, **changes):
    small = {"embedding": 8, "subsample": 0.0, "block_size": 8, "batch_size": 4, "steps": 200}
    return word2vec.Config(dataset=f"words:{folder}", **{**small, **changes})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gradient_of_negative_sampling_is_the_formula_pair_by_pair():
    rng = np.random.default_rng(1)
    vocabulary, size, negatives = 9, 3, 5
    v, u = rng.normal(size=(2, vocabulary, size))
    words, targets = rng.integers(0, vocabulary, (1, 6)), rng.integers(0, vocabulary, (1, 4))
    noise = rng.integers(0, vocabulary, (1, 7))
    noise[0, 0] = targets[0, 0]
    pairs = (rng.random((1, 6, 4)) < 0.5).astype(np.float32)
    pairs[0, :, 0] = 1

    def loss(v, u):
        rows = u[np.concatenate([targets, noise], axis=1)]
        scores = jax.numpy.einsum("bid,bsd->bis", v[words], rows)
        return noise_nats(scores, pairs, targets, noise, negatives)

    total, dv, du = 0.0, np.zeros_like(v), np.zeros_like(u)
    for _, i, t in np.argwhere(pairs):
        word, target = words[0, i], targets[0, t]
        samples = [(target, 1, 1.0)]
        samples += [(n, 0, negatives / noise.size) for n in noise[0] if n != target]
        for other, label, weight in samples:
            probability = sigmoid(v[word] @ u[other])
            total -= weight * np.log(probability if label else 1 - probability)
            dv[word] += weight * (probability - label) * u[other]
            du[other] += weight * (probability - label) * v[word]
    value, gradient = jax.value_and_grad(loss, argnums=(0, 1))(v, u)
    np.testing.assert_allclose(value, total, rtol=1e-5)
    np.testing.assert_allclose(gradient[0], dv, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient[1], du, rtol=1e-4, atol=1e-5)


def test_softmax_and_the_tree_are_minus_log_p_pair_by_pair():
    rng = np.random.default_rng(2)
    counts = [9, 5, 3, 2, 1]
    targets = np.array([[0, 4, 2]])
    pairs = (rng.random((1, 4, 3)) < 0.6).astype(np.float32)
    scores = rng.normal(size=(1, 4, 5))
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = -sum(np.log(p[0, i, targets[0, t]]) for _, i, t in np.argwhere(pairs))
    np.testing.assert_allclose(softmax_nats(scores, pairs, targets), expected, rtol=1e-5)
    tree, by_node = huffman_tree(counts), rng.normal(size=(4, 4))
    expected = 0.0
    for _, i, t in np.argwhere(pairs):
        for node, turn in zip(tree.nodes[targets[0, t]], tree.branches[targets[0, t]], strict=True):
            expected -= np.log(sigmoid(turn * by_node[i, node])) if turn else 0.0
    nodes = tree.nodes[targets].reshape(1, -1)
    nats = hierarchical_nats(by_node[:, nodes[0]][None], pairs, tree.branches[targets])
    np.testing.assert_allclose(nats, expected, rtol=1e-5)


def step_of(experiment, config, steps):
    """State after some steps without a run directory, and the loss of each."""
    devices = Placement(config.batch_size, jax.devices()[:1])
    state, window = devices.init(experiment, 0, experiment.train(0))
    step, losses = devices.compile(experiment), []
    for number in range(steps):
        state, metrics = step(state, window, devices.put_batch(experiment.train(number)))
        losses.append(float(metrics.means["loss"].value))
    return state, losses


@pytest.mark.parametrize("objective", word2vec.OBJECTIVES)
def test_each_objective_learns_which_words_occur_together(folder, objective):
    tests = {"wordsim": str(folder / "pairs"), "analogies": str(folder / "analogies")}
    config = config_of(folder, objective=objective, learning_rate=0.1, batch_size=1, **tests)
    experiment = word2vec.build(config)
    assert experiment.provenance["similarities"] == 5
    assert experiment.provenance["analogies"] == 1
    state, losses = step_of(experiment, config, 200)
    assert np.mean(losses[-9:]) < 0.9 * losses[0]
    predict = types.SimpleNamespace(variables=state.variables)
    scores = experiment.task.scores(predict, experiment.evals["test"])
    assert experiment.task.scores(predict, experiment.evals["validation"]) == {}
    assert scores["wordsim"] > 0.85  # three ties above two: the maximum is 0.866
    assert set(scores) == {"wordsim", "analogies"}


def test_learning_rate_is_that_of_a_pair(folder):
    config = config_of(folder, objective="softmax", decay_factor=1.0, window=1)
    experiment = word2vec.build(config)
    state, losses = step_of(experiment, config, 1)
    batch, words = experiment.train(0), 10
    # at zero output vectors P is 1 / V: u_t moves by rate * sum over pairs of (1[t] - 1 / V) v_i
    devices = Placement(4, jax.devices()[:1])
    before, _ = devices.init(experiment, 0, batch)
    v = np.asarray(before.params["words"], np.float64)
    change, pairs = np.zeros((words, 8)), 0
    for row, sentence, reach in zip(batch["words"], batch["sentence"], batch["reach"], strict=True):
        for position in range(1, 9):
            for i in (position - 1, position + 1):
                if reach[position - 1] and sentence[i] == sentence[position]:
                    change -= v[row[i]] / words
                    change[row[position]] += v[row[i]]
                    pairs += 1
    assert losses[0] == pytest.approx(np.log(words), rel=1e-5)
    rate = 0.025 * experiment.train.pairs_per_step / pairs
    assert rate == pytest.approx(0.025, rel=0.2)
    np.testing.assert_allclose(state.params["outputs"], rate * change, rtol=1e-3, atol=1e-6)


def test_gradients_of_at_most_500_pairs_of_a_softmax_add_up(folder):
    rates = {}
    for objective in word2vec.OBJECTIVES:
        changes = {"objective": objective, "block_size": 32, "batch_size": 32, "decay_factor": 1.0}
        experiment = word2vec.build(config_of(folder, **changes))
        params = {"outputs": np.zeros((1, 1), np.float32)}
        state = experiment.optimizer.init(params)
        updates, _ = experiment.optimizer.update({"outputs": params["outputs"] + 1}, state, params)
        rates[objective] = -float(updates["outputs"][0, 0]) / 0.025
    assert rates["softmax"] == pytest.approx(500, rel=1e-5)
    assert rates["hierarchical"] == rates["negative_sampling"] > 2000


def test_answers_exclude_the_words_of_the_question():
    units = normalized(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, -1]]))
    assert answers(units, np.array([[0, 1, 2], [2, 3, 0]])).tolist() == [3, 1]
    assert answers(units, np.array([[0, 1, 3], [4, 0, 2]])).tolist() == [2, 1]


def test_rank_correlation_uses_ranks_and_is_zero_for_a_constant():
    assert rank_correlation([1, 2, 3, 4], [1, 10, 100, 50]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0
    assert WordTests(None, None).scores(np.eye(3)) == {}


def trained(folder, **changes):
    """Task and predictor of three word vectors, two of which are similar."""
    vocabulary = WordVocabulary(("a", "$b", "c"), np.array([3, 2, 1]))
    config = config_of(folder, **changes)
    task = word2vec.PredictContext(vocabulary, config, WordTests(None, None))
    words = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    return task, types.SimpleNamespace(variables={"params": {"words": words}})


def test_neighbours_of_words_of_the_input(folder, monkeypatch, capsys):
    text = types.SimpleNamespace(buffer=io.BytesIO(b"a\n\n$b\nd\ncc\n"))
    monkeypatch.setattr("sys.stdin", text)
    nearest(opened(*trained(folder, neighbours=9)))
    assert capsys.readouterr().out.splitlines() == [
        "a: c 0.60, $b 0.00",
        "$b: c 0.80, a 0.00",
        "d: unknown",
        "cc: unknown (did you mean c?)",
    ]


def test_questions_of_the_input_are_answered_and_unknown_words_named(folder, monkeypatch, capsys):
    lines = [b"a", b"", b"a - $b + c", b"a ~ c", b"aa + b + c", b"a ~", b"a c", b"a + c ~ $b", b"c"]
    text = types.SimpleNamespace(buffer=io.BytesIO(b"\n".join(lines)), isatty=lambda: True)
    monkeypatch.setattr("sys.stdin", text)
    vocabulary = WordVocabulary(("a", "$b", "c", "d"), np.array([4, 3, 2, 1]))
    words = np.array([[2, 0], [0, 1], [0.6, 0.8], [-3, 4]], np.float32)
    run = opened(*trained(folder, neighbours=2))
    run.task.vocabulary, run.predict.variables["params"]["words"] = vocabulary, words
    ask(run)
    usage = (
        "not a question; ask king, king - man + woman or cat ~ dog, with spaces around the signs"
    )
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a: c 0.60, $b 0.00",
        "a - $b + c: d -0.69",
        "a ~ c: 0.60",
        "aa + b + c: unknown aa (did you mean a?), b (did you mean $b?)",
        *(f"{line}: {usage}" for line in ("a ~", "a c", "a + c ~ $b")),
        "c: $b 0.80, a 0.60",
    ]
    assert err.startswith("ask king, king - man + woman or cat ~ dog, one per line")
    run.config.question = "$b ~ c"
    ask(run)
    assert capsys.readouterr() == ("$b ~ c: 0.80\n", "")


def test_save_writes_vectors_into_the_run_or_a_new_file(folder, capsys, monkeypatch):
    path = folder / "v.bin"
    task, predict = trained(folder, save_to=str(path))
    save(opened(task, predict))
    assert str(path) in capsys.readouterr().out
    words, vectors = read_vectors(path)
    assert words == ["a", "$b", "c"]
    np.testing.assert_array_equal(vectors, predict.variables["params"]["words"])
    with pytest.raises(ConfigError, match=r"v\.bin exists"):
        save(opened(task, predict))
    with pytest.raises(ConfigError, match=r"cannot write vectors .*v\.txt: No such file"):
        save(opened(*trained(folder, save_to=str(folder / "none" / "v.txt"))))
    monkeypatch.chdir(folder)  # the folder of `opened`
    for said in ("vectors.txt", "vectors.txt (replaced)"):
        save(opened(*trained(folder)))
        assert capsys.readouterr().out == f"3 vectors: {said}\n"
    assert read_vectors(folder / "vectors.txt")[0] == words


def test_figures_are_a_plane_and_neighbours(folder):
    task, predict = trained(folder, neighbours=1)
    figures = task.figures(predict, [])
    assert figures["neighbours"] == "a: c 0.60\n$b: c 0.80\nc: $b 0.80\n"
    labels = [text.get_text() for text in figures["plane"].axes[0].texts]
    assert labels == ["a", "$b", "c"]  # no formula: see train/drawing.py
