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

    def __call__(
        self,
        *command: object,
        target: str = TARGET,
        user: str = "",
        status: int = 0,
        errors: int = subprocess.STDOUT,
        **settings: str,
    ) -> str:
        """
        What the command printed, checked to end with `status`.

        `user` is `uid:gid`, the image's own if empty. `errors` says where the command's errors go: to its output, or
        with `subprocess.PIPE` apart from it. An engine copies the two streams one by one, so their order in one
        output is chance.
        """
        done = subprocess.run(
            ["sh", CHECKOUT / "docker" / "run.sh", target, *map(str, command)],
            cwd=self.work,
            env=os.environ | {"RUN_AS": user} | settings,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert done.returncode == status, f"{done.stdout}{done.stderr or ''}"
        return done.stdout

    def shell(self, script: str, **options: str) -> str:
        return self("sh", "-ec", script, **options)

    def python(self, code: str, **options: str) -> object:
        """The value that `code` assigns to `result`, in the Python of the image."""
        program = f"import json\n{code}\nprint(json.dumps(result))"
        printed = self("python", "-c", program, errors=subprocess.PIPE, **options)
        return json.loads(printed.splitlines()[-1])
