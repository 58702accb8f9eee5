"""A program that starts warm as torchcaffe does, but loads nothing else, so that a start takes no time.

warm_program.py report CODE     prints what the process is, as JSON, and ends with CODE
warm_program.py end NUMBER      ends by this signal
warm_program.py heed            prints the numbers of the signals that come; ends with 7 after SIGUSR2
warm_program.py count FILE      writes ever larger numbers into FILE, until it is killed
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from torchcaffe.warm import client, owner, parent
from torchcaffe.warm.call import this_call


def state() -> dict[str, object]:
    files = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            files[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the listing itself
            continue
    status = dict(line.partition(":")[::2] for line in Path("/proc/self/status").read_text().splitlines())
    kept = ("Name", "SigBlk", "SigIgn", "SigCgt", "Umask", "Threads", "Cpus_allowed_list")
    return {
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "files": files,
        "status": {name: status[name].strip() for name in kept},
        "input": sys.stdin.read(),
        "parent": os.getppid(),
        "process": os.getpid(),
    }


def heed() -> NoReturn:
    numbers = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    print("ready", os.getpid(), flush=True)
    while True:
        number = signal.sigwait(numbers)
        print(number.name, flush=True)
        if number == signal.SIGUSR2:
            sys.exit(7)


def count(file: str) -> NoReturn:
    number = 0
    with open(file, "w") as out:
        print("ready", os.getpid(), flush=True)
        while True:
            number += 1
            out.seek(0)
            out.write(f"{number}\n")
            out.flush()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    ancestor, call = owner.find_owner(), this_call()
    if ancestor and call:
        status = client.run_warm(call, ancestor)
        if status is not None:
            return status
        parent.leave(call, ancestor)
    action, *rest = sys.argv[1:]
    if action == "report":
        print(json.dumps(state()))
        return int(rest[0])
    if action == "end":
        os.kill(os.getpid(), int(rest[0]))
    if action == "heed":
        heed()
    count(rest[0])


if __name__ == "__main__":
    sys.exit(main())
