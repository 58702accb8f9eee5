"""Tells whether a file was written again."""

from pathlib import Path


def stamp(path: Path) -> tuple[int, int, int]:
    """Inode, time of the last change in ns, size in bytes. (A stat_result also has the time of the last read.)"""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
