"""The files that glog writes for --log_dir, with its names and its first lines.

    caffe.HOST.USER.log.INFO.20260228-100000.1234      and a link to it, caffe.INFO

A severity's file has its lines and those of all higher ones, and begins with the first of these. Source followed:
glog's logging.cc, LogFileObject.
"""

import getpass
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import TextIO

_SEVERITIES = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}


class LogFiles:
    """The files of one run in a folder that exists. The program's name in them is `caffe`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    def write(self, severity: str, text: str) -> None:
        """Writes whole lines, of severity I, W, E or F. Raises OSError."""
        for name in list(_SEVERITIES.values())[: "IWEF".index(severity) + 1]:
            file = self._files.get(name) or self._begin(name)
            file.write(text)
            file.flush()

    def _begin(self, name: str) -> TextIO:
        now, host = datetime.now(), socket.gethostname()
        path = self._folder / f"caffe.{host}.{getpass.getuser()}.log.{name}.{now:%Y%m%d-%H%M%S}.{os.getpid()}"
        file = self._files[name] = open(path, "w")  # noqa: SIM115  # until `close`
        file.write(
            f"Log file created at: {now:%Y/%m/%d %H:%M:%S}\nRunning on machine: {host}\n"
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
        )
        link = self._folder / f".caffe.{name}.{os.getpid()}"
        link.symlink_to(path.name)
        link.replace(self._folder / f"caffe.{name}")
        return file

    def close(self) -> None:
        for file in self._files.values():
            file.close()
