"""Cores and GPUs of workers."""

import os

import pytest

from jobs import local
from jobs.run import Run
from jobs.share import gpu_variables, share, visible_gpus


@pytest.mark.parametrize(
    ("workers", "shares"),
    [(1, [[]]), (2, [["a", "c", "e"], ["b", "d"]]), (5, [["a"], ["b"], ["c"], ["d"], ["e"]])],
)
def test_everything_is_divided_where_there_is_enough(workers, shares):
    assert [share(list("abcde"), slot, workers) for slot in range(workers)] == shares
    assert share(list("abcd"), 0, 5) == []


def test_gpus_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,GPU-8f")
    assert visible_gpus() == ["4", "6", "GPU-8f"]
    assert gpu_variables(0, 2) == {"CUDA_VISIBLE_DEVICES": "4,GPU-8f"}
    assert gpu_variables(0, 1) == gpu_variables(0, 4) == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_each_worker_gets_its_own_share(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    script = "echo $CUDA_VISIBLE_DEVICES; nproc; sleep 0.5"
    runs = [Run(name, (), tmp_path / name, ("sh", "-c", script)) for name in ("a", "b")]
    before = os.sched_getaffinity(0)
    local.run_all(runs, [1, 1], workers=2)
    assert os.sched_getaffinity(0) == before
    outputs = [run.log.read_text().split() for run in runs]
    assert [words[0] for words in outputs] == ["2", "3"]
    cores = sum(int(words[1]) for words in outputs)
    assert cores == (len(before) if len(before) > 1 else 2)
