"""Profiles: those of the checkout can be read, and a mistake in one is told with its line."""

from pathlib import Path

import pytest

from tools.cluster.profile import KubernetesProfile, SlurmProfile, load_profile
from tools.common.errors import UserError


@pytest.mark.parametrize(("name", "model"), [("slurm", SlurmProfile), ("kubernetes", KubernetesProfile)])
def test_the_profiles_of_the_checkout_explain_every_key(name: str, model: type, checkout: Path, root: Path) -> None:
    profile = load_profile(name)
    text = (checkout / f"experiments/profiles/{name}.yaml").read_text()
    assert type(profile) is model
    known = (checkout / "experiments/profiles/slurm.yaml").read_text() + text
    assert [key for key in model.model_fields if f"{key}:" not in known] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gpu: 1", "lab.yaml:6: gpu: unknown key; did you mean `gpus`?"),
        ("memory: 0", "lab.yaml:6: memory: found 0.0; input should be greater than 0"),
        ("hours: yes", "write true or false; if it is a text, put it in quotes"),
        ("partition: my gpus", "lab.yaml:6: partition: found 'my gpus'"),
        ("executor: pbs", "lab.yaml:6: executor: given twice"),
    ],
)
def test_a_mistake_is_told_with_its_line(root: Path, line: str, said: str) -> None:
    file = Path("experiments/profiles/lab.yaml")
    file.parent.mkdir(parents=True)
    keys = ["executor: slurm", "pilots: 2", "cpus: 1", "memory: 1", "hours: 1"]
    file.write_text("\n".join([*(key for key in keys if key.split(":")[0] != line.split(":")[0]), line, ""]))
    if line.startswith(("memory", "hours")):
        said = said.replace(":6:", ":5:")
    elif line.startswith("executor"):
        file.write_text("\n".join([*keys, line, ""]))
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        load_profile("lab")


def test_a_profile_for_another_scheduler_names_those_that_there_are(root: Path) -> None:
    file = Path("experiments/profiles/lab.yaml")
    file.parent.mkdir(parents=True)
    file.write_text("executor: pbs\npilots: 1\ncpus: 1\nmemory: 1\nhours: 1\n")
    with pytest.raises(UserError, match=r"lab\.yaml:1: executor: found 'pbs'; input should be 'slurm' or 'kubernetes'"):
        load_profile("lab")
    with pytest.raises(UserError, match=r"EXECUTOR=\.\./x: not the name of a profile"):
        load_profile("../x")
