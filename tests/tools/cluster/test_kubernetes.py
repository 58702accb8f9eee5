"""The Job for Kubernetes, against the schemas of its API, which the package kubernetes-validate has. It is not run."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest

from tools.cluster.executor import Job
from tools.cluster.kubernetes import LEFT, Pod, manifest, text
from tools.cluster.profile import KubernetesProfile

NEEDS = {"executor": "kubernetes", "pilots": 8, "cpus": 4, "memory": 15.5, "hours": 0.5}
PROFILE = KubernetesProfile(**NEEDS, gpus=2, image="caffe-transfer:cuda", claim="disk", namespace="lab")
JOB = Job("pilot", "0a1b-pilot", 8, ("python3", "-m", "tools.cluster.job", "all"), Path("logs"), 4, 2, 15.5, 0.5)


@pytest.mark.parametrize("version", ["1.27", "1.33"])
def test_the_api_takes_the_manifest(version: str) -> None:
    content = json.loads(text(manifest(PROFILE, JOB, 1000, 1000)))
    kubernetes_validate.validate(content, version, strict=True)
    content["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(content, version, strict=True)


def test_the_pods_get_what_the_profile_says() -> None:
    content = manifest(PROFILE, JOB, 1000, 100)
    spec = content["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert content["metadata"] == {"name": "sweep-0a1b-pilot", "namespace": "lab"}
    assert (content["spec"]["parallelism"], content["spec"]["completions"]) == (8, 8)
    assert container["resources"]["limits"] == {"cpu": 4, "memory": "15872Mi", "nvidia.com/gpu": 2}
    assert container["command"] == [*JOB.command] and container["workingDir"] == "/work"
    assert spec["activeDeadlineSeconds"] == 1800 and spec["restartPolicy"] == "Never"
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "disk"}
    assert spec["securityContext"] == {"runAsUser": 1000, "runAsGroup": 100}


def test_a_pod_without_time_for_what_is_left_is_replaced_and_a_users_mistake_ends_the_job() -> None:
    spec = manifest(PROFILE, JOB, 1000, 100)["spec"]
    rules = [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in spec["podFailurePolicy"]["rules"]]
    assert rules == [("Ignore", None), ("Ignore", [LEFT]), ("FailJob", [2])]
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "the API takes such rules with no other"


def test_the_image_has_the_pipeline_where_a_pod_looks_for_it(checkout: Path, tmp_path: Path) -> None:
    """The working directory is the project's folder, which need not be a checkout."""
    (container,) = manifest(PROFILE, JOB, 1000, 100)["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert f"COPY . {environment['PYTHONPATH']}\n" in (checkout / "Dockerfile").read_text()
    environment["PYTHONPATH"] = str(checkout)
    command = [sys.executable, "-P", *JOB.command[1:], "results/no/cluster/order.json"]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 2 and "results/no/cluster/order.json" in process.stderr


def test_a_pod_knows_its_name_and_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "sweep-0")
    pod = Pod(hours=1)
    assert pod.own_job() == "sweep-0" and pod.ending("sweep-1", None) is None
    assert pod.seconds_left() <= 3570
    assert pod.log_file(Path("logs"), "pilot", "sweep-0") == Path("pod/sweep-0")
