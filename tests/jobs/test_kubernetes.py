"""Sweeps on Kubernetes, without a cluster: manifests, the run of a pod, and the submission."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import launch
from jobs import pod
from jobs.manifest import object_name, to_yaml
from jobs.pods import OPTIONS
from jobs.record import read_exits, read_sweep
from jobs.run import make_runs
from jobs.sweep import expand
from tests.jobs.kubernetes_schema import check_object, expand_variables, plain_scalars

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


@pytest.fixture
def manifest(monkeypatch, capsys):
    """Return a function that launches a sweep and returns the printed objects."""
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [5] * len(runs))

    def run(*words, workdir="/runs/cells", image="me/unfold:1"):
        own = [f"--kubernetes_image={image}", "--backend=kubernetes"]
        if not any(word.startswith("--experiment=") for word in words):
            own += ["--experiment=lenet5", f"--workdir={workdir}", "--kubernetes_volume=runs:/runs"]
        words = [*own, *words]
        assert launch.command_line(["launch.py", *words]) == 0
        text = capsys.readouterr().out
        objects = list(yaml.safe_load_all(text))
        assert to_yaml(objects) == text
        plain_scalars(text)
        for item in objects:
            check_object(item)
        return objects

    return run


def pod_of(item):
    """Job and pod of an object."""
    if item["kind"] == "JobSet":
        item = item["spec"]["replicatedJobs"][0]["template"]
    return item["spec"], item["spec"]["template"]["spec"]


def words_of(item, **variables):
    """Words of the command as the container gets them."""
    return [
        expand_variables(word, variables) for word in pod_of(item)[1]["containers"][0]["command"]
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


HOSTILE = [
    """it's "quoted" \\ back`tick`""",
    "two\nlines\r\n\ttab",
    "$(HOME) $$(HOME) $HOME ${HOME} $$ $",
    "spaces  and # comment: {a: [b]} & *c !d %e @f",
    "Übung 実験 \U0001f600 \x85\u2028\ufeff",
    "--- |\n  ...",
    "'",
    "$é",
]


@pytest.mark.parametrize("hosts", [1, 2])
def test_hostile_values_reach_the_run_unchanged(manifest, monkeypatch, tmp_path, hosts):
    folder, made = tmp_path / "it's $(HOME)", []
    monkeypatch.setattr(pod, "work", made.append)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    for value in HOSTILE:
        config, axis = [f"--config.name={value}"], f"text={[value]!r}"
        flags = [*config, f"--sweep={axis}", f"--kubernetes_hosts={hosts}"]
        (item,) = manifest(*flags, f"--kubernetes_volume=v:{tmp_path}", workdir=folder)
        config += ["--config.distributed=True"] * (hosts > 1)
        (run,) = make_runs("lenet5", folder, config, expand([axis]))
        words = words_of(item, HOME="/root")
        if hosts > 1:
            assert words == ["python", *run.command[1:]]
        else:
            assert words[:3] == ["python", "-m", "jobs.pod"]
            pod.main(words[3:])
            assert made.pop() == run


def test_the_pod_of_an_index_takes_that_run_and_the_first_records_all(
    manifest, monkeypatch, tmp_path
):
    folder = tmp_path / "a" / "s"
    words = ["--sweep=seed=0..2", f"--kubernetes_volume=v:{tmp_path}", "--config.steps=5"]
    (item,) = manifest(*words, workdir=folder)
    made = []
    monkeypatch.setattr(pod, "work", made.append)
    for index in (2, 0, 1):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        pod.main(words_of(item)[3:])
        assert bool(read_sweep(folder)["runs"]) == (index != 2)
    runs = make_runs("lenet5", folder, ["--config.steps=5"], expand(["seed=0..2"]))
    assert made == [runs[2], runs[0], runs[1]]
    assert read_sweep(folder)["experiment"] == "lenet5"
    assert [(r["name"], r["steps"]) for r in read_sweep(folder)["runs"]] == [
        (run.name, 5) for run in runs
    ]


@pytest.mark.parametrize(
    "script", ["trap 'exit 75' TERM; kill -TERM $PPID; sleep 9 & wait", "exit 3"]
)
def test_pod_ends_as_its_run_does_and_leaves_the_rest_to_kubernetes(tmp_path, script):
    words = [sys.executable, "-m", "jobs.task", str(tmp_path / "r"), "sh", "-c", script]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    code = 75 if "75" in script else 3
    assert (done.returncode, done.stdout, done.stderr) == (code, f"r: exit {code}\n", "")
    assert read_exits(tmp_path)["r"]["exit"] == code


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


class ApiError(Exception):
    """An answer of the cluster that is not success."""

    def __init__(self, status, body):
        self.status, self.reason, self.body = status, "Some reason", body


@pytest.fixture
def client(monkeypatch):
    """A client of a cluster without objects; `fails` is what the next request raises."""
    created, fake = {}, SimpleNamespace(fails=None)

    def create(group, version, namespace, plural, body):
        if fake.fails:
            raise fake.fails
        path = (group, version, namespace, plural, body["metadata"]["name"])
        if path in created:
            raise ApiError(409, "")
        created[path] = body

    class ConfigError(Exception):
        pass

    fake.created, fake.ConfigError = created, ConfigError
    fake.config = SimpleNamespace(load_config=lambda: None, ConfigException=ConfigError)
    api = SimpleNamespace(create_namespaced_custom_object=create)
    fake.client = SimpleNamespace(CustomObjectsApi=lambda: api, ApiException=ApiError)
    monkeypatch.setitem(sys.modules, "kubernetes", fake)
    return fake


@pytest.fixture
def submit(monkeypatch):
    """Return a function that launches two seeds with --submit."""
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [5] * len(runs))
    words = ["--experiment=lenet5", "--workdir=/runs/s", "--sweep=seed=0..1"]
    words += ["--backend=kubernetes", "--submit", "--kubernetes_namespace=lab"]
    words += ["--kubernetes_image=x", "--kubernetes_volume=runs:/runs"]
    return lambda *more: launch.command_line(["launch.py", *words, *more])


def test_submitted_objects_are_the_printed_ones(submit, client, manifest, capsys):
    flags = ["--sweep=seed=0..1", "--kubernetes_namespace=lab"]
    printed = manifest(*flags, workdir="/runs/s", image="x")
    assert submit() == 0
    (path,), (body,) = client.created, client.created.values()
    name = body["metadata"]["name"]
    assert path == ("batch", "v1", "lab", "jobs", name)
    assert [body] == printed
    assert capsys.readouterr().out == f"job {name} submitted\n"
    assert submit() == 0
    again = f"to start it again, run kubectl delete job {name} -n lab first"
    assert capsys.readouterr().out == f"job {name} exists already; {again}\n"
    assert submit("--kubernetes_hosts=2") == 0
    paths = list(client.created)[1:]
    assert {path[:4] for path in paths} == {("jobset.x-k8s.io", "v1alpha2", "lab", "jobsets")}
    assert len(paths) == capsys.readouterr().out.count(" submitted\n") == 2


def test_errors_of_the_cluster_are_one_line(submit, client, monkeypatch, capsys):
    import urllib3

    def unconfigured():
        raise client.ConfigError("no kubeconfig")

    for error, part in (
        (ApiError(403, json.dumps({"message": "jobs is\nforbidden"})), ": jobs is forbidden"),
        (ApiError(502, "<html>"), ": Some reason"),
        (ApiError(502, "[]"), ": Some reason"),
        (urllib3.exceptions.HTTPError("refused"), "--submit cannot reach the cluster: refused"),
    ):
        client.fails = error
        assert submit() == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), err.endswith(f"{part}\n")) == (1, True), err
    client.config.load_config = unconfigured
    assert submit() == 2
    assert capsys.readouterr().err == "error: --submit: no kubeconfig\n"
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert submit() == 2
    assert capsys.readouterr().err.endswith("needs the client: pip install '.[kubernetes]'\n")
