"""Child processes that don't survive this process."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, AnyStr

# Kills its process group at the end of its standard input. Only this process holds the other end, which the kernel
# closes even if this process is killed.
_WATCHER = ("sh", "-c", "read -r _; kill -KILL 0")


class Child(subprocess.Popen[AnyStr]):
    """A process in its own process group, which is killed when this process ends for any reason.

    `options` are those of subprocess.Popen.
    """

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        null = subprocess.DEVNULL
        self._watcher = subprocess.Popen(_WATCHER, stdin=subprocess.PIPE, stdout=null, stderr=null, process_group=0)
        try:
            super().__init__(command, process_group=self._watcher.pid, **options)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill the process and everything it started."""
        self._watcher.communicate()  # closes the watcher's standard input

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end, and kill the processes that it left running."""
        status = super().wait(timeout)
        self.kill()
        return status
