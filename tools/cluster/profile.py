"""The profile of a cluster: a YAML file that says what each job asks for, and how a node starts Python.

    profile = load_profile("slurm")      # experiments/profiles/slurm.yaml

The files in experiments/profiles/ explain each key. An unknown key or a wrong value is refused with its line.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.common.checkout import own_file
from tools.common.errors import UserError
from tools.common.yaml_file import read_yaml
from tools.common.yaml_model import validated

Positive = Annotated[int, Field(ge=1, lt=2**20)]
Count = Annotated[int, Field(ge=0, lt=2**20)]
Amount = Annotated[float, Field(gt=0, lt=2**20, allow_inf_nan=False)]
Word = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f]+$")]
Line = Annotated[str, Field(pattern=r"^[^\n\x00]+$")]


class Profile(BaseModel):
    """What both kinds of cluster need. Memory is in GB (1024 MB), time in hours."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    executor: Literal["slurm", "kubernetes"]
    pilots: Positive  # jobs at a time, at most; each works through runs until none is left
    cpus: Positive  # cores of a pilot
    memory: Amount
    hours: Amount
    gpus: Count = 0
    jobs: Positive | None = None  # trainings at a time in a pilot; None: PER_GPU on each GPU, or one a core
    margin: Annotated[float, Field(ge=1, le=100)] = 1.5  # a run begins if its estimated time, times this, is left
    retries: Count = 2  # how often a run that was killed for time or memory is tried again
    more: Annotated[float, Field(ge=1, le=100)] = 2.0  # each time with so many times the time or memory
    prepare_cpus: Positive = 2  # of the jobs that make the data, and the tables and figures: no GPU
    prepare_memory: Amount = 8.0
    prepare_hours: Amount = 12.0
    python: Line | None = None  # interpreter on the nodes; None: the one that submits


class SlurmProfile(Profile):
    executor: Literal["slurm"]
    partition: Word | None = None
    account: Word | None = None
    prepare_partition: Word | None = None  # None: the same partition
    options: list[Line] = []  # further options of sbatch
    setup: list[Line] = []  # shell lines before Python starts: `module load cuda`
    container: Line | None = None  # words before `python`: `apptainer exec --nv image.sif`
    poll: Amount = 15.0  # seconds between two looks at the queue


class KubernetesProfile(Profile):
    executor: Literal["kubernetes"]
    image: Word
    claim: Word  # the PersistentVolumeClaim (ReadWriteMany) that holds the project's folder
    namespace: Word | None = None
    python: Line | None = "python3"


PROFILES: dict[str, type[Profile]] = {"slurm": SlurmProfile, "kubernetes": KubernetesProfile}


def load_profile(name: str) -> Profile:
    """Reads experiments/profiles/NAME.yaml. Raises UserError naming file and line for what is wrong in it."""
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(
            f"EXECUTOR={name}: not the name of a profile; EXECUTOR=slurm is experiments/profiles/slurm.yaml"
        )
    content = read_yaml(
        own_file("experiments", f"profiles/{name}.yaml"), "a profile", "experiments/profiles/slurm.yaml"
    )
    places = {key: content.place(key) for key in content.values}
    values = {key: float(value) if _is_amount(key, value) else value for key, value in content.values.items()}
    model = PROFILES.get(str(values.get("executor")), Profile)
    return validated(model, values, content.file, places, f"experiments/profiles/{model.__name__[:-7].lower()}.yaml")


def _is_amount(key: str, value: object) -> bool:
    """Whether a whole number is written where a number is due: `hours: 12`."""
    amounts = {"memory", "hours", "margin", "more", "prepare_memory", "prepare_hours", "poll"}
    return key in amounts and isinstance(value, int) and not isinstance(value, bool)
