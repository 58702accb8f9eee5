"""Commands in the image, by docker/run.sh, as a user calls it."""

import json
import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TARGET = os.environ.get("TEST_IMAGE", "")
SOMEBODY = 12345  # a user whom neither the machine nor the image knows


class Containers:
    """Each call runs one command in a new container, with the folder `work` as its /work."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def __call__(self, *command: object, target: str = TARGET, user: str = "", status: int = 0, **settings: str) -> str:
        """What the command printed, checked to end with `status`; `user` is `uid:gid`, the image's own if empty."""
        done = subprocess.run(
            ["sh", CHECKOUT / "docker" / "run.sh", target, *map(str, command)],
            cwd=self.work,
            env=os.environ | {"RUN_AS": user} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def shell(self, script: str, **options: str) -> str:
        return self("sh", "-ec", script, **options)

    def python(self, code: str, **options: str) -> object:
        """The value that `code` assigns to `result`, in the Python of the image."""
        printed = self("python", "-c", f"import json\n{code}\nprint(json.dumps(result))", **options)
        return json.loads(printed.splitlines()[-1])
