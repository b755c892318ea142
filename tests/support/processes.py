"""Find processes, and wait for their end, on Linux."""

import os
import select
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to find processes")


def descendants(process: int) -> list[int]:
    """Return the IDs of all descendant processes."""
    children = [int(file.parent.name) for file in Path("/proc").glob("[0-9]*/stat") if _parent(file) == process]
    return [*children, *(below for child in children for below in descendants(child))]


def _parent(file: Path) -> int:
    try:
        return int(file.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:  # the process has ended in the meantime
        return 0


def surviving(processes: Iterable[int], timeout: float = 30) -> list[int]:
    """Wait until all `processes` have ended; return those that haven't after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    return [process for process in processes if not _ends(process, deadline)]


def _ends(process: int, deadline: float) -> bool:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0])
    finally:
        os.close(descriptor)
