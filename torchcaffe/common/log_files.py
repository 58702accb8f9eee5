"""The files that glog writes for --log_dir, with its names and its first lines.

    caffe.HOST.USER.log.INFO.20260228-100000.1234      and a link to it, caffe.INFO

A severity's file has its lines and those of all higher ones, and begins with the first of these. Source followed:
glog's logging.cc, LogFileObject.
"""

import os
import pwd
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

_SEVERITIES = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}


class LogFiles:
    """The files of one run in a folder. The program's name in them is `caffe`.

    If they cannot be written, standard error says so once, and the run goes on without them, as in Caffe.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Path | None = folder
        self._files: dict[str, TextIO] = {}

    def write(self, severity: str, text: str) -> None:
        """Writes whole lines, of severity I, W, E or F."""
        if self._folder is None:
            return
        try:
            for name in list(_SEVERITIES.values())[: "IWEF".index(severity) + 1]:
                file = self._files.get(name) or self._begin(self._folder, name)
                file.write(text)
                file.flush()
        except OSError as error:
            print(f"Could not write the log to {self._folder}: {error.strerror}; make that folder", file=sys.stderr)
            self._folder = None

    def _begin(self, folder: Path, name: str) -> TextIO:
        now, host = datetime.now(), socket.gethostname()
        path = folder / f"caffe.{host}.{_user()}.log.{name}.{now:%Y%m%d-%H%M%S}.{os.getpid()}"
        file = open(path, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  # until `close`
        self._files[name] = file
        file.write(
            f"Log file created at: {now:%Y/%m/%d %H:%M:%S}\nRunning on machine: {host}\n"
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
        )
        link = folder / f".caffe.{name}.{os.getpid()}"
        link.symlink_to(path.name)
        link.replace(folder / f"caffe.{name}")
        return file

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _user() -> str:
    if user := os.environ.get("USER"):
        return user
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container whose user has no name
        return f"uid{os.getuid()}"
