"""A real Slurm of several nodes on this machine: munged, slurmctld and a slurmd for each node, started as root."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from tools.common.parent_death import with_this_process

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket}/s
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/pid/slurmctld
SlurmdPidFile={folder}/pid/%n
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdTimeout=5
KillWait=2
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
"""


def why_not() -> str:
    """Why no Slurm can be started here; empty if one can."""
    missing = [program for program in PROGRAMS if not shutil.which(program, path=_path())]
    if missing:
        return f"no {', '.join(missing)}: sh setup/get_slurm.sh"
    return "" if os.getuid() == 0 else "only root can start slurmd"


class RealSlurm:
    """`cpus` and 2000 MB on each of the nodes n1, n2, ..."""

    def __init__(self, folder: Path, nodes: int, cpus: int = 1) -> None:
        self.folder, self.nodes = folder, [f"n{number + 1}" for number in range(nodes)]
        for name in ("log", "state", "spool", "pid", "munge"):
            (folder / name).mkdir(parents=True)
        (folder / "munge").chmod(0o700)
        self.socket = Path(tempfile.mkdtemp(prefix="munge-"))  # munged wants a path that everybody may walk
        self.socket.chmod(0o755)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        ports = _free_ports(nodes + 1)
        host = socket.gethostname().partition(".")[0]
        lines = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=2000"
            for node, port in zip(self.nodes, ports[1:], strict=True)
        ]
        partition = f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP"
        self.conf = folder / "slurm.conf"
        text = CONF.format(host=host, port=ports[0], folder=folder, socket=self.socket)
        self.conf.write_text(text + "\n".join([*lines, partition, ""]))
        self.environment = os.environ | {"SLURM_CONF": str(self.conf), "PATH": _path()}
        munge = folder / "munge"
        options = [
            "--key-file",
            munge / "key",
            "--socket",
            self.socket / "s",
            "--pid-file",
            folder / "pid" / "munged",
        ]
        options += ["--log-file", munge / "log", "--seed-file", munge / "seed"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start("munged", "munged", "-F", *options)
        self.wait_for((self.socket / "s").exists, "munged")
        self._start("slurmctld", "slurmctld", "-D", "-f", self.conf)
        for node in self.nodes:
            self.start_node(node)
        self.wait_for(
            lambda: self.call("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split() == self.nodes, "idle nodes"
        )

    def call(self, *command: str | Path) -> str:
        """What a command prints; an error if it fails."""
        process = subprocess.run(list(map(str, command)), env=self.environment, capture_output=True, text=True)
        assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
        return process.stdout

    def wait_for(self, condition, what: str, seconds: float = 180) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"no {what} in {seconds} s; {self.call('squeue', '-a')}"
            time.sleep(0.1)

    def states(self) -> dict[str, str]:
        """Job -> state, of all jobs that Slurm remembers."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def kill_node(self, node: str) -> None:
        """As if its power went: kill -9 of its slurmd, and of all jobs on it."""
        slurmd = self._processes.pop(node)
        jobs = self.call("squeue", "-h", "-w", node, "-t", "R", "-o", "%A").split()
        steps = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(" ".join(process.info["cmdline"] or []).startswith(f"slurmstepd: [{job}.") for job in jobs)
        ]
        family = [child for step in steps for child in [step, *step.children(recursive=True)]]
        for process in [slurmd, *family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        slurmd.wait()

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-f", self.conf, "-N", node)

    def _start(self, name: str, *command: str | Path) -> None:
        """Starts a program that ends with this process, even if that is killed."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words, end = list(map(str, command)), with_this_process()
        self._processes[name] = subprocess.Popen(words, env=self.environment, preexec_fn=end, **quiet)

    def close(self) -> None:
        with contextlib.suppress(AssertionError):
            self.call("scancel", "--me")
            self.wait_for(lambda: not self.call("squeue", "-h"), "end of all jobs", 15)
        for process in reversed(self._processes.values()):
            process.terminate()
            process.wait()
        shutil.rmtree(self.socket, ignore_errors=True)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
