"""What the jobs do themselves while no submitting process lives: they send their successors.

A pilot does it when it has trained a net that others copy from, and at its end; the tables' job, if runs are left then.
Nothing is sent twice: one job sends at a time (a lock), it counts what the queue has, and none sends while a submitting
process lives. They come to an end: a pilot that finished no run sends nothing, and nothing is sent if nothing was done
since the last time, or if a pilot was cancelled by hand.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.executor import CANCELLED, KINDS
from tools.cluster.order import Order, read_order
from tools.cluster.profile import KubernetesProfile
from tools.cluster.sending import Sender, of_kinds
from tools.common.errors import UserError
from tools.common.files import is_locked, lock, read_record, write_json
from tools.common.parent_death import with_this_process
from tools.planning.state import make_plan

LEFT = "left.json"  # in the order's folder: what was left when no pilot was alive, and some were sent


def is_unattended(order: Order) -> bool:
    """Whether the jobs have to go on by themselves."""
    return not isinstance(order.profile, KubernetesProfile) and not is_locked(order.folder / "submitter")


def send_more(order: Order, environment: Mapping[str, str], ends: bool = True) -> None:
    """Sends what is missing, from a process with the `environment` in which this job began, if nobody else will.

    ends: whether this job is about to end, so that it does not count.
    """
    if not is_unattended(order):
        return
    own = order.inside.own_job() if ends else ""
    file = str(order.folder / "order.json")
    command = [sys.executable, "-P", "-m", "tools.cluster.unattended", file, own]
    sys.stdout.flush()
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=with_this_process())


def carry_on(order: Order, own: str) -> None:
    """Counts and sends. own: the id of a job that does not count, for it is about to end; empty for none."""
    with lock(order.folder / ".send.lock"):
        if not is_unattended(order):
            return
        kind_of = {order.name(kind): kind for kind in KINDS}
        jobs = {job.id: kind_of[job.name] for job in order.executor.alive(order.names) if job.id != own}
        sender = Sender(order, make_plan(order.exp, order.engine), of_kinds(jobs), _cancelled(order))
        if not sender.alive["pilot"]:
            sender.settle()
            if said := _stuck(sender):
                count = len(sender.plan.remaining)
                print(f"{count} runs are not done, {said}; the command of the sweep goes on from here", flush=True)
                return
        for job in sender.send():
            print(f"no submitting process lives, so this job has sent: {job.count} {job.kind}", flush=True)


def _cancelled(order: Order) -> int:
    """How many of the last pilots of this order were cancelled by hand."""
    since = (order.folder / "order.json").stat().st_mtime
    times = {log: log.stat().st_mtime for log in order.folder.glob("*.pilot.log")}
    logs = sorted((log for log in times if times[log] >= since), key=times.__getitem__)[-order.profile.pilots :]
    return sum(order.executor.ending(log.name.removesuffix(".pilot.log"), log) == CANCELLED for log in logs)


def _stuck(sender: Sender) -> str:
    """Why no further job would help; empty if one would. Notes what is left now."""
    if sender.cancelled:
        return "and a job was cancelled by hand"
    if not sender.open():
        return "and have failed, or what they copy from has"
    order = sender.order
    now = {"order": (order.folder / "order.json").stat().st_mtime_ns, "left": [*sender.progress()]}
    if read_record(order.folder / LEFT, left=list) == now:
        return "and nothing was done since the last jobs"
    write_json(order.folder / LEFT, now)
    return ""


def main(file: str, own: str) -> int:
    os.environ["GPUS"] = ""
    carry_on(read_order(Path(file)), own)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except UserError as error:
        print(f"note: no further jobs could be sent from here: {error}", file=sys.stderr)
        sys.exit(0)
