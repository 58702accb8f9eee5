"""Kubernetes: one Job whose pods are pilots, written as a manifest. Nothing is sent to a cluster from here."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from tools.cluster.executor import Job, Kind
from tools.cluster.profile import KubernetesProfile

ROOT = "/work"  # where a pod has the project's folder
CHECKOUT = "/opt/caffe-transfer"  # where the image has the pipeline (Dockerfile)
LEFT = 75  # the exit status of a pod that did something and has no time for what is left: it is replaced
_REFUSED = 2  # that of a user's mistake, which a second pod would make as well
_BEGAN = time.monotonic()


class Pod:
    """The scheduler, as a pod sees it (tools/cluster/executor.py, Inside). It asks nothing of the API."""

    def __init__(self, hours: float) -> None:
        self.hours = hours

    def own_job(self) -> str:
        return os.environ.get("HOSTNAME") or os.uname().nodename

    def seconds_left(self) -> float:
        """Of the pod's activeDeadlineSeconds, which begin a little before this process."""
        return self.hours * 3600 - (time.monotonic() - _BEGAN) - 30

    def ending(self, job: str, log: Path | None) -> str | None:
        return None  # `kubectl describe pod` knows

    def log_file(self, logs: Path, kind: Kind, job: str) -> Path:
        return Path("pod", job)  # `kubectl logs pod/NAME`


def manifest(profile: KubernetesProfile, job: Job, user: int, group: int) -> dict[str, Any]:
    """A Job of the API batch/v1: `job.count` pods of the image, each of which does all that the sweep needs.

    The first pod makes the data while the others wait, and one that finds no run left makes the tables. A pod that dies
    is replaced, backoffLimit times; what it had begun is taken by another. podFailurePolicy: one whose node is drained,
    or that ends with LEFT, is replaced and not counted; a mistake of the user ends the Job at once.
    """
    amounts: dict[str, str | int] = {"cpu": job.cpus, "memory": f"{math.ceil(job.memory * 1024)}Mi"}
    amounts |= {"nvidia.com/gpu": job.gpus} if job.gpus else {}
    container = {
        "name": "pilot",
        "image": profile.image,
        "command": [*job.command],
        "workingDir": ROOT,
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": [{"name": "project", "mountPath": ROOT}],
        "env": [{"name": "PYTHONPATH", "value": CHECKOUT}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
    }
    pod = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": math.ceil(job.hours * 3600),
        "terminationGracePeriodSeconds": 60,
        "securityContext": {"runAsUser": user, "runAsGroup": group},
        "containers": [container],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": profile.claim}}],
    }
    metadata = {"name": f"sweep-{job.name}", **({"namespace": profile.namespace} if profile.namespace else {})}
    spec = {
        "completionMode": "Indexed",
        "completions": job.count,
        "parallelism": job.count,
        "backoffLimit": 6 * job.count,
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "Ignore", **_exit_of(LEFT)},
                {"action": "FailJob", **_exit_of(_REFUSED)},
            ]
        },
        "template": {"metadata": {"labels": {"app": "caffe-transfer"}}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _exit_of(status: int) -> dict[str, Any]:
    """The condition of a rule. The schema of 1.27 asks for onPodConditions where there are none, too."""
    return {"onExitCodes": {"containerName": "pilot", "operator": "In", "values": [status]}, "onPodConditions": []}


def text(content: dict[str, Any]) -> str:
    """The manifest as `kubectl apply -f` reads it: JSON, which is YAML."""
    return json.dumps(content, indent=1) + "\n"
