"""The part of the API of Kubernetes and JobSet that a manifest uses, written from their reference.

A schema is a type, a set of values, [schema of each item], {"*": schema of each value}, or
{field: schema} in which ! marks a required field.
"""

import re

import yaml

try:  # the published schemas of batch/v1, where they are installed
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
TEXTS = {"*": str}
METADATA = {"name!": str, "namespace": str, "labels": TEXTS, "annotations": TEXTS}
ENV = {"name!": str, "value": str, "valueFrom": {"fieldRef!": {"fieldPath!": str}}}
CONTAINER = {
    "name!": str,
    "image!": str,
    "workingDir": str,
    "command!": [str],
    "env": [ENV],
    "resources": {"requests!": TEXTS, "limits!": TEXTS},
    "volumeMounts!": [{"name!": str, "mountPath!": str}],
}
TOLERATION = {
    "key!": str,
    "operator!": {"Exists", "Equal"},
    "value": str,
    "effect!": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
}
POD = {
    "restartPolicy!": {"Never"},  # of those that a Job allows, the one that a failure policy needs
    "terminationGracePeriodSeconds!": int,
    "serviceAccountName": str,
    "nodeSelector": TEXTS,
    "tolerations": [TOLERATION],
    "containers!": [CONTAINER],
    "volumes!": [{"name!": str, "persistentVolumeClaim!": {"claimName!": str}}],
}
RULE = {
    "action!": {"Ignore", "FailIndex", "FailJob", "Count"},
    "onExitCodes": {"containerName!": str, "operator!": {"In", "NotIn"}, "values!": [int]},
    "onPodConditions": [{"type!": str, "status!": {"True", "False", "Unknown"}}],
}
JOB = {
    "completionMode!": {"Indexed"},
    "completions!": int,
    "parallelism!": int,
    "backoffLimit": int,
    "backoffLimitPerIndex": int,
    "podFailurePolicy!": {"rules!": [RULE]},
    "template!": {"metadata": {"labels!": TEXTS}, "spec!": POD},
}
REASONS = {
    *("BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes"),
    *("MaxFailedIndexesExceeded", "PodFailurePolicy"),
}
FAILURE = {
    "name!": str,
    "action!": {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
    "onJobFailureReasons!": [REASONS],
}
JOB_SET = {
    "network!": {"enableDNSHostnames!": bool, "subdomain!": str},
    "failurePolicy!": {"maxRestarts!": int, "rules!": [FAILURE]},
    "replicatedJobs!": [{"name!": str, "replicas!": int, "template!": {"spec!": JOB}}],
}
KINDS = {"Job": ("batch/v1", JOB), "JobSet": ("jobset.x-k8s.io/v1alpha2", JOB_SET)}
BOOLEANS = {"y", "n", "yes", "no", "true", "false", "on", "off"}  # of YAML 1.1, in any case


def check_object(item):
    """Assert that an object is valid: its fields, then the rules of the API servers about them."""
    version, spec = KINDS[item["kind"]]
    check(item, {"apiVersion!": {version}, "kind!": str, "metadata!": METADATA, "spec!": spec})
    assert LABEL.fullmatch(item["metadata"]["name"])
    if item["kind"] == "Job":
        check_job(item["spec"])
        published(item)
        return
    (replicated,) = item["spec"]["replicatedJobs"]
    check_job(replicated["template"]["spec"])
    published({**replicated["template"], "apiVersion": "batch/v1", "kind": "Job"})
    assert re.fullmatch(r"[A-Za-z]([\w,:]*\w)?", item["spec"]["failurePolicy"]["rules"][0]["name"])
    assert re.fullmatch(r"[a-z].*", item["spec"]["network"]["subdomain"])  # the name of a Service
    assert replicated["template"]["spec"]["completions"] > 1


def published(job):
    """Validate a Job against the published schema, if it is installed."""
    if kubernetes_validate:
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def check(value, schema, path="object"):
    """Assert that a value has a schema."""
    if isinstance(schema, list):
        assert isinstance(value, list), path
        assert value, path
        for i, item in enumerate(value):
            check(item, schema[0], f"{path}[{i}]")
    elif isinstance(schema, set):
        assert value in schema, path
    elif not isinstance(schema, dict):
        assert type(value) is schema, path
    else:
        assert isinstance(value, dict), path
        assert value, path
        fields = {name.rstrip("!"): inner for name, inner in schema.items()}
        required = {name.rstrip("!") for name in schema if name.endswith("!")}
        assert required <= set(value), path
        for name, item in value.items():
            assert type(name) is str, path
            inner = fields["*"] if "*" in fields else fields.get(name)
            assert inner is not None, f"{path}.{name}"
            check(item, inner, f"{path}.{name}")


def check_job(job):
    """Assert the rules of batch/v1 that types do not express."""
    per_index = "backoffLimitPerIndex" in job
    assert per_index != ("backoffLimit" in job)
    assert 0 < job["parallelism"] <= job["completions"]
    for rule in job["podFailurePolicy"]["rules"]:
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        assert rule["action"] != "FailIndex" or per_index
        if codes := rule.get("onExitCodes"):
            assert codes["values"] == sorted(set(codes["values"]) - {0})
            assert codes["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > 0
    assert LABEL.fullmatch(container["name"])
    mounts, volumes = container["volumeMounts"], pod["volumes"]
    assert [mount["name"] for mount in mounts] == [volume["name"] for volume in volumes]
    assert len({volume["name"] for volume in volumes}) == len(volumes)
    assert all(LABEL.fullmatch(volume["name"]) for volume in volumes)
    for entry in container.get("env", []):
        assert ("value" in entry) != ("valueFrom" in entry)
    resources = container.get("resources", {"requests": {}, "limits": {}})
    assert resources["requests"] == resources["limits"]  # must be equal for GPUs and TPUs


def expand_variables(text, variables):
    """Text as Kubernetes passes it to a container: $$ becomes $, and $(NAME) its value if known."""
    out, i = "", 0
    while i < len(text):
        if text[i : i + 2] == "$$":
            out, i = out + "$", i + 2
        elif text[i : i + 2] == "$(" and (end := text.find(")", i)) > 0:
            name = text[i + 2 : end]
            out, i = out + variables.get(name, f"$({name})"), end + 1
        elif text[i] == "$" and not text[i + 1 : i + 2].isascii():
            raise AssertionError("Kubernetes damages a character beyond ASCII after a single $")
        else:
            out, i = out + text[i], i + 1
    return out


def plain_scalars(text):
    """Assert that no unquoted scalar is a string in one version of YAML and not in another."""
    for event in yaml.parse(text):
        if isinstance(event, yaml.ScalarEvent) and event.style is None:
            assert re.fullmatch(r"[A-Za-z][\w./-]*|\d+", event.value), event.value
            is_bool = event.value in ("true", "false")  # enableDNSHostnames
            assert is_bool or event.value.lower() not in BOOLEANS | {"null"}, event.value


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
