"""Real pycaffe as an oracle that stays up: a test asks it for arrays and is answered in milliseconds."""

import json
import subprocess
from pathlib import Path

import numpy as np

from tests.helpers.engine_runs import of_reference

Arrays = dict[str, np.ndarray]

# Runs what it is sent, a program with its `given`, and keeps the arrays that the program puts into `out`. A fork does
# this until a failed CHECK ends it. Then the next fork takes over, because pycaffe itself takes half a second to start.
SERVER = """
import json, os, sys
import numpy as np
import caffe

def serve():
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        with open(request["stderr"], "w") as stderr:
            os.dup2(stderr.fileno(), 2)
        given = dict(request["plain"], **dict(np.load(request["given.npz"])))
        out = {}
        exec(request["program"], {"caffe": caffe, "np": np, "given": given, "out": out})
        np.savez(request["answer.npz"], **out)
        print("done", flush=True)

while (child := os.fork()) and os.waitpid(child, 0)[1]:
    print("failed", flush=True)
if not child:
    serve()
"""


class CaffeAborted(Exception):
    """Caffe ended itself (a failed CHECK), or the program failed; the text is what it said last."""


class RealCaffe:
    """A running pycaffe. `run` may be called again and again: a new net costs milliseconds."""

    def __init__(self, pycaffe: Path, folder: Path):
        self._pycaffe, self._folder = pycaffe, folder
        self._process: subprocess.Popen[str] | None = None

    def run(self, program: str, **given: object) -> Arrays:
        """Run `program`, which sees `caffe`, `np`, the dict `given` and puts arrays into the dict `out`; return `out`.

        Arrays among `given` arrive as arrays, all else as JSON brings it.
        """
        process = self._started()
        arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in given.items() if name not in arrays}
        files = {name: str(self._folder / name) for name in ("given.npz", "answer.npz", "stderr")}
        np.savez(files["given.npz"], **arrays)
        process.stdin.write(json.dumps({"program": program, "plain": plain, **files}) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "done\n":
            raise CaffeAborted(Path(files["stderr"]).read_text()[-4000:])
        with np.load(files["answer.npz"]) as answer:
            return dict(answer)

    def net_file(self, prototxt: str) -> str:
        """The path of a file that holds `prototxt`."""
        path = self._folder / "net.prototxt"
        path.write_text(prototxt)
        return str(path)

    def close(self) -> None:
        if self._process:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [str(self._pycaffe), "-c", SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=of_reference(self._pycaffe.with_name("caffe")) | {"GLOG_minloglevel": "2", "PATH": "/usr/bin:/bin"},
            )
        return self._process
