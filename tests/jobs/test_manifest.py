"""Manifests for Kubernetes: their contents, names and options, and the commands of the page."""

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import launch
from jobs.manifest import object_name
from jobs.pod_options import OPTIONS
from tests.jobs.kubernetes_schema import expand_variables, pod_of, words_of

ROOT = Path(__file__).resolve().parents[2]
TPU = [
    "--kubernetes_node_selector=cloud.google.com/gke-tpu-accelerator=tpu-v5-lite-podslice",
    "--kubernetes_resource=google.com/tpu=4",
]
TOPOLOGY = "--kubernetes_node_selector=cloud.google.com/gke-tpu-topology="
FULL = [
    "--kubernetes_namespace=lab",
    "--kubernetes_python=/opt/venv/bin/python",
    "--kubernetes_working_dir=/opt/it's unfold",
    "--kubernetes_service_account=trainer",
    "--kubernetes_grace_seconds=300",
    "--kubernetes_retries=0",
    "--kubernetes_resource=cpu=500m",
    "--kubernetes_resource=memory=1.5Gi",
    "--kubernetes_resource=nvidia.com/gpu=1",
    "--kubernetes_node_selector=version=1e3",
    "--kubernetes_node_selector=enabled=y",
    "--kubernetes_toleration=nvidia.com/gpu:NoSchedule",
    "--kubernetes_toleration=team=on:NoExecute",
    "--kubernetes_volume=data:/data",
    "--kubernetes_env=XLA_FLAGS=--a=$(HOME) --b='$$x'",
    "--kubernetes_env=EMPTY=",
    "--kubernetes_label=kueue.x-k8s.io/queue-name=0o17",
]


def test_a_sweep_is_one_indexed_job(manifest):
    (item,) = manifest("--sweep=seed=0..4", "--workers=2")
    job, spec = pod_of(item)
    assert re.fullmatch(r"cells-[0-9a-f]{8}", item["metadata"]["name"])
    assert (job["completions"], job["parallelism"], job["backoffLimitPerIndex"]) == (5, 2, 3)
    assert spec["terminationGracePeriodSeconds"] == 120
    assert spec["volumes"] == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "runs"}}]
    assert manifest("--sweep=seed=0..4")[0]["spec"]["parallelism"] == 5
    assert manifest(workdir="/runs/a/cells")[0]["metadata"]["name"] != item["metadata"]["name"]


def test_every_option_is_in_the_manifest(manifest):
    (item,) = manifest(*FULL)
    job, spec = pod_of(item)
    (container,) = spec["containers"]
    quantities = {"cpu": "500m", "memory": "1.5Gi", "nvidia.com/gpu": "1"}
    labels = {"kueue.x-k8s.io/queue-name": "0o17"}
    assert item["metadata"]["namespace"] == "lab"
    assert item["metadata"]["labels"] == job["template"]["metadata"]["labels"] == labels
    assert job["backoffLimitPerIndex"] == 0
    assert spec["serviceAccountName"] == "trainer"
    assert spec["terminationGracePeriodSeconds"] == 300
    assert spec["nodeSelector"] == {"version": "1e3", "enabled": "y"}
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "on", "effect": "NoExecute"},
    ]
    assert container["resources"] == {"requests": quantities, "limits": quantities}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/runs", "/data"]
    assert container["workingDir"] == "/opt/it's unfold"
    assert words_of(item)[0] == "/opt/venv/bin/python"
    env = {
        entry["name"]: expand_variables(entry["value"], {"HOME": "x"}) for entry in container["env"]
    }
    assert env == {"XLA_FLAGS": "--a=$(HOME) --b='$$x'", "EMPTY": ""}


def actions(job):
    """Action of the policy for each exit code, and for a disrupted pod; None when it counts."""

    def first(matches):
        return next((r["action"] for r in job["podFailurePolicy"]["rules"] if matches(r)), None)

    by_code = {
        code: first(lambda rule, c=code: c in rule.get("onExitCodes", {}).get("values", []))
        for code in (1, 2, 3, 75, 134, 137, 143)
    }
    return by_code, first(lambda rule: "onPodConditions" in rule)


def test_stopped_runs_are_retried_without_counting_and_hopeless_ones_never(manifest):
    (job,), (job_set,) = manifest(), manifest("--kubernetes_hosts=2")
    counted = dict.fromkeys((1, 134, 137, 143))
    for item, final in ((job, "FailIndex"), (job_set, "FailJob")):
        expected = {**counted, 2: final, 3: final, 75: "Ignore"}
        assert actions(pod_of(item)[0]) == (expected, "Ignore")
    failures = job_set["spec"]["failurePolicy"]
    assert failures["maxRestarts"] == 3
    (rule,) = failures["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert pod_of(job_set)[0]["backoffLimit"] == 0  # one lost process stops the others


def test_a_run_on_several_hosts_is_a_job_set(manifest):
    first, second = manifest("--sweep=seed=0..1", "--kubernetes_hosts=3", "--config.steps=5")
    name = first["metadata"]["name"]
    assert re.fullmatch(r"cells-seed-0-[0-9a-f]{8}", name)
    assert second["metadata"]["name"] != name
    job, spec = pod_of(first)
    assert (job["completions"], job["parallelism"]) == (3, 3)
    assert first["spec"]["network"] == {"enableDNSHostnames": True, "subdomain": name}
    assert "annotations" not in first["metadata"]
    address, count, index = spec["containers"][0]["env"]
    assert address == {
        "name": "JAX_COORDINATOR_ADDRESS",
        "value": f"{name}-run-0-0.{name}:8476",  # of pod 0 of job 0 of the replicated job `run`
    }
    assert count == {"name": "JAX_NUM_PROCESSES", "value": "3"}
    assert index["name"] == "JAX_PROCESS_ID"
    path = index["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert words_of(second) == [
        *("python", "-m", "experiments.lenet5", "--workdir=/runs/cells/seed=1"),
        *("--config.steps=5", "--config.distributed=True", "--config.seed=1"),
    ]


@pytest.mark.parametrize(
    ("topology", "kind", "hosts"), [("2x2", "Job", 1), ("4x4", "JobSet", 4), ("2x2x4", "JobSet", 4)]
)
def test_hosts_follow_from_the_topology_of_a_tpu_slice(manifest, topology, kind, hosts):
    (item,) = manifest(*TPU, TOPOLOGY + topology)
    job, spec = pod_of(item)
    assert (item["kind"], job["completions"]) == (kind, hosts)
    assert spec["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology
    assert spec["containers"][0]["resources"]["limits"] == {"google.com/tpu": "4"}
    annotation = item["metadata"].get("annotations", {})
    own_slice = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    assert annotation == (own_slice if hosts > 1 else {})


def test_commands_of_the_page_make_the_objects_that_it_describes(manifest):
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\npython launch.py (.*?) \| kubectl create -f -\n```", page, re.S)
    (sweep,), (run,) = (manifest(*shlex.split(block.replace("\\\n", ""))) for block in blocks)
    assert (sweep["kind"], sweep["spec"]["completions"], sweep["spec"]["parallelism"]) == (
        "Job",
        15,
        8,
    )
    assert (run["kind"], pod_of(run)[0]["completions"]) == ("JobSet", 4)
    flags = set(re.findall(r"`(\w+)=", page.split("| flag")[1].split("## Watch")[0]))
    assert flags == set(OPTIONS)


@settings(max_examples=50)
@given(st.text(max_size=80), st.text(max_size=80))
def test_names_are_labels_with_room_for_the_suffixes_of_a_pod(text, name):
    label = object_name(text, Path("/runs") / name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)
    assert len(f"{label}-run-0-9999-abcde") <= 63  # a pod of a JobSet
    assert len(f"{label}-99999-abcde") <= 63  # a pod of a Job


def test_name_of_a_folder_is_readable():
    label = object_name("Übung_1 (final)", Path("/r"))
    assert label.startswith("ubung-1-final-")
    assert object_name("実験", Path("/r")).startswith("run-")
    assert object_name("2026", Path("/r")).startswith("run-2026-")


NEEDED = ["--kubernetes_image=x", "--kubernetes_volume=runs:/runs"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--kubernetes_imag=x"], "Did you mean: kubernetes_image ?"),
        ([], "--backend=kubernetes needs --kubernetes_image=IMAGE"),
        (["--kubernetes_image=a b"], "--kubernetes_image must be IMAGE, got 'a b'"),
        (["--kubernetes_image=x"], "--workdir=/runs/s is on no volume and would be lost"),
        (["--kubernetes_image=x", "--kubernetes_volume=r:/run"], "is on no volume"),
        (["--kubernetes_volume=runs"], "--kubernetes_volume must be CLAIM:/PATH, got 'runs'"),
        (["--kubernetes_hosts=0"], "--kubernetes_hosts must be NUMBER, got '0'"),
        (["--kubernetes_namespace=Lab"], "--kubernetes_namespace must be NAME, got 'Lab'"),
        (["--kubernetes_resource=memory=16 GB"], "must be NAME=QUANTITY, got 'memory=16 GB'"),
        (["--kubernetes_env=1a=b"], "--kubernetes_env must be NAME=VALUE, got '1a=b'"),
        (["--kubernetes_env="], "--kubernetes_env must be NAME=VALUE, got ''"),
        (["--kubernetes_label=a=b c"], "--kubernetes_label must be KEY=VALUE, got 'a=b c'"),
        (["--kubernetes_toleration=a"], "must be KEY[=VALUE]:EFFECT, got 'a'"),
        ([*NEEDED, TOPOLOGY + "4x4"], "needs --kubernetes_resource=google.com/tpu=N"),
        ([*NEEDED, *TPU, TOPOLOGY + "4by4"], "=4by4 must be AxB or AxBxC"),
        ([*NEEDED, *TPU, TOPOLOGY + "2x3"], "4 per host, that is not a whole number of hosts"),
        ([*NEEDED, *TPU, TOPOLOGY + "4x4", "--kubernetes_hosts=2"], "that is not 2 hosts"),
        ([*NEEDED, "--kubernetes_hosts=2", "--workers=1"], "--workers does not limit runs on"),
        (["--slurm_time=1"], "--slurm_time needs --backend=slurm or --backend=print"),
        (["--backend=slurm", "--kubernetes_hosts=2"], "_hosts needs --backend=kubernetes\n"),
        (["--backend=print", "--submit"], "--submit needs --backend=kubernetes"),
        ([*NEEDED, "--submit"], "--submit needs --kubernetes_namespace=NAME"),
        ([*NEEDED, "--result=a"], "--result needs --backend=local or --backend=slurm"),
    ],
)
def test_bad_command_lines_are_refused_in_one_line(capsys, words, part):
    words = ["--experiment=lenet5", "--workdir=/runs/s", "--backend=kubernetes", *words]
    assert launch.command_line(["launch.py", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert part in err
