"""The page of a report: its structure, its safety, and what it does with unusual runs."""

import base64
import hashlib
import json
import math
import re
import time
from html.parser import HTMLParser

import pytest

from experiments import __main__ as experiments_main
from experiments import iris
from experiments.report import page, report
from experiments.report.study import read_study
from tests.experiments.report.made import make_run
from train import cli
from train.rundir import write_config

PNG = b"\x89PNG and more"
VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """Elements of a page as (tag, attributes, text); an element that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def all(self, tag, **attributes):
        """Attributes and text of the elements with a tag and attributes."""
        return [
            (attrs, "".join(texts))
            for name, attrs, texts in self.elements
            if name == tag and attributes.items() <= attrs.items()
        ]

    def texts(self, tag, **attributes):
        """Texts of these elements."""
        return [text for _, text in self.all(tag, **attributes)]

    @property
    def data(self):
        """What the script draws."""
        return json.loads(self.texts("script", id="data")[0])


def page_of(*folders, **options):
    return Page(page.page(read_study(folders, **options)))


def write_curve(path, values, metric="val/loss", every=10):
    lines = [json.dumps({"step": every * i, metric: value}) for i, value in enumerate(values)]
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    """A sweep with two configurations, of which one has an unfinished run."""
    for seed, value in enumerate((1.0, 2.0, 4.5)):
        path = make_run(tmp_path, f"a{seed}", seed, value, experiment="iris", hidden=[8, 9])
        (path / "flags.txt").write_text("--config.hidden=(8, 9)\n--config.steps=20\n")
    make_run(tmp_path, "b0", 0, 0.5, experiment="iris", hidden=[16])
    make_run(tmp_path, "b1", 1, None, step=10, experiment="iris", hidden=[16])
    for step in range(0, 130, 10):
        (tmp_path / "a2" / "figures" / f"filters-{step:07d}.png").write_bytes(PNG + bytes([step]))
    (tmp_path / "a2" / "figures" / "sample-0000010.txt").write_text("<b>x</b>\n")
    (tmp_path / "a2" / "figures" / "notes.txt").write_text("no step")
    return tmp_path


def test_page_has_results_curves_differences_runs_and_command(folder):
    found = page_of(folder, baseline="hidden=[16]")
    assert found.texts("h1") == [f"iris: {folder}"]
    assert found.texts("h2") == [
        "Results",
        "Learning curves",
        "Figures of the best run of iris",
        "What differs between the runs",
        "Runs",
        "What all runs share",
        "Command of the best run",
    ]
    rows = found.texts("tr")
    assert rows[0].startswith("hiddentest/loss95 % interval")
    assert rows[1].startswith("[8, 9]2.5000± 4.47833")
    assert "hidden[8, 9] (3×), [16] (2×)" in rows
    assert "b1not finished, step 10 of 20[16]1---" in rows
    assert "machinem" in rows
    assert "datasetd" in rows
    command = "python -m experiments.iris --workdir=runs/repeated '--config.hidden=(8, 9)'"
    assert found.texts("pre")[-1] == f"{command} --config.steps=20"
    assert found.data["labels"] == ["hidden=[8, 9]", "hidden=[16]"]
    (curves,) = found.data["metrics"]
    assert curves["name"] == "val/loss"
    mean, runs = curves["groups"][1]["mean"], curves["groups"][1]["runs"]
    assert mean == [[0, 10, 20], [2.0, 1.5, 1.0], [None] * 3]
    assert curves["groups"][0]["mean"][2] == [0.0] * 3  # an interval of three runs
    assert runs == [[[0, 10, 20], [2.0, 1.5, 1.0]], [[0, 10], [2.0, 1.5]]]


def test_figures_are_those_of_the_best_run_with_few_of_their_steps(folder):
    found = page_of(folder)
    images = [attributes for attributes, _ in found.all("img")]
    assert len(images) == page.STEPS
    assert [images[0]["data-step"], images[-1]["data-step"]] == ["0", "120"]
    assert [("hidden" in image) for image in images] == [True] * (page.STEPS - 1) + [False]
    contents = [
        base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in images
    ]
    assert contents[-1] == PNG + bytes([120])
    assert images[-1]["alt"] == "filters at step 120"
    (slider,) = [attributes for attributes, _ in found.all("input")]
    assert (slider["max"], slider["value"]) == ("9", "9")
    assert found.texts("pre")[0] == "\n<b>x</b>"
    assert "no step" not in found.texts("main")[0]


def test_page_needs_and_allows_no_other_file(folder):
    text = page.page(read_study([folder]))
    found = Page(text)
    assert not re.search(r"https?://|url\(|@import", text)
    addresses = [a[name] for _, a, _ in found.elements for name in ("src", "href") if name in a]
    assert addresses
    assert all(address.startswith("data:image/png;") for address in addresses)
    policy = found.all("meta")[1][0]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind, content in (
        ("style", found.texts("style")[0]),
        ("script", found.texts("script")[1]),
    ):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_no_text_of_a_run_becomes_markup(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror='a()'>&amp;\"'\u2028"
    folder = tmp_path / "<i>folder"
    for i, prompt in enumerate((evil, "</style>")):
        path = make_run(folder, f"<b>{i}", 0, 1.0 + i, prompt=prompt)
        (path / "environment.json").write_text(json.dumps({"machine": evil, "x": {"<u>": evil}}))
        (path / "figures" / "<s>'\"-0000020.png").write_bytes(PNG)
        (path / "figures" / "t-0000020.txt").write_text(evil)
    found = page_of(folder)
    assert len(found.all("script")) == 2
    assert len(found.all("img")) == 2 - 1  # the figure of the best run
    assert not found.all("i") + found.all("b") + found.all("u") + found.all("s")
    assert found.data["labels"] == [f"prompt={evil}", "prompt=</style>"]
    assert evil in found.texts("td")
    assert found.texts("pre")[1].strip("\n") == evil
    assert found.texts("h1") == [f"Runs: {folder}"]


def test_curves_with_values_that_are_no_numbers(folder):
    write_curve(folder / "b0", [3.0, math.nan, math.inf, 1 / 3])
    (curves,) = page_of(folder).data["metrics"]
    group = curves["groups"][1]
    assert group["runs"][0] == [[0, 10, 20, 30], [3.0, None, None, 0.333333]]
    assert group["mean"][1] == [3.0, None, None, 0.333333]


def test_a_single_run_without_figures_differs_from_none(tmp_path):
    path = make_run(tmp_path, "a", 0, 1.0)
    (path / "figures" / "sample-0000010.txt").unlink()
    (path / "environment.json").write_text("{")
    (path / "data.json").unlink()
    headings = page_of(path).texts("h2")
    assert headings == ["Results", "Learning curves", "Runs", "What all runs share"]
    (path / "metrics.jsonl").unlink()
    assert page_of(path).data["metrics"] == []


def test_equal_runs_with_other_commits(tmp_path):
    for seed in range(2):
        make_run(tmp_path, f"a{seed}", 0 if seed else 1, 1.0)
    assert "seed1 (1×), 0 (1×)" in page_of(tmp_path).texts("tr")
    path = tmp_path / "a0" / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "d"}))
    assert "commitd (1×), c (1×)" in page_of(tmp_path).texts("tr")


def test_a_hundred_runs_are_a_small_page_in_a_short_time(tmp_path):
    values = [1 / (1 + i) for i in range(320)]
    for i in range(100):
        path = make_run(tmp_path, f"rate={i // 5},seed={i % 5}", i % 5, float(i), rate=i // 5)
        write_curve(path, values)
    began = time.process_time()
    text = page.page(read_study([tmp_path]))
    assert time.process_time() - began < 5
    assert len(text) < 2e6
    data = Page(text).data
    assert sum(data["shown"]) == 12
    (curves,) = data["metrics"]
    steps, losses = curves["groups"][19]["runs"][4]
    assert (len(steps), steps[0], steps[-1]) == (300, 0, 3190)
    assert (losses[0], losses[-1]) == (1.0, 0.003125)
    assert len(curves["groups"][19]["mean"][0]) == 300


def test_experiments_have_figures_of_the_best_run_of_each(folder, tmp_path):
    make_run(tmp_path / "other", "c0", 0, 1.0, experiment="lenet5")
    found = page_of(folder, tmp_path / "other", metric="val/loss")
    assert found.texts("h1") == [f"iris, lenet5: {folder}, {tmp_path / 'other'}"]
    assert "Figures of the best run of lenet5" in found.texts("h2")
    assert found.data["labels"][2] == "experiment=lenet5"


def test_format_html_writes_the_page_and_prints_its_path(folder, tmp_path, capsys):
    report.main(["report", f"--workdir={folder}", "--format=html", "--baseline=hidden=[16]"])
    printed = capsys.readouterr()
    assert printed.out == f"{folder / 'report.html'}\n"
    assert f"not finished: {folder / 'b1'}, step 10 of 20\n" in printed.err
    found = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert report.COMPARISON in found.texts("p")
    assert not list(folder.glob("*.png"))
    with pytest.raises(SystemExit):
        report.main(["report", f"--workdir={folder},{folder / 'a0'}", "--format=html"])
    error = "error: --format=html of several folders needs --output=DIR for report.html\n"
    assert capsys.readouterr().err == error
    output = f"--output={tmp_path / 'both'}"
    report.main(["report", f"--workdir={folder},{folder / 'a0'}", "--format=html", output])
    assert (tmp_path / "both" / "report.html").is_file()


def test_mode_report_of_every_experiment(tmp_path, capsys, monkeypatch):
    path = make_run(tmp_path, "a", 0, 1.0)
    write_config(path, iris.Config(steps=20))
    (path / "environment.json").write_text('{"experiment": "experiments.iris"}')
    monkeypatch.setattr("sys.argv", ["x"])
    experiments_main.main(["experiments", str(path), "--mode=report"])
    assert capsys.readouterr().out == f"{path / 'report.html'}\n"
    assert Page((path / "report.html").read_text()).texts("h1") == [f"iris: {path}"]
    (path / "result.json").unlink()
    monkeypatch.setattr("sys.argv", ["x", f"--workdir={path}", "--mode=report"])
    with pytest.raises(SystemExit) as stop:
        cli.run(iris.Config, iris.build, iris.make_task, iris.MODES)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: there is no finished run in {path}\n"
