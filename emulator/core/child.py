"""Child processes that don't survive this process."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, AnyStr


class Child(subprocess.Popen[AnyStr]):
    """A process in its own process group, which is killed when this process ends for any reason.

    `options` are those of subprocess.Popen.
    """

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        self._watcher = start_watcher("kill -KILL 0")
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


def start_watcher(commands: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a shell, in its own process group, that runs `commands` when its standard input ends; `$0` is the first of
    the arguments.

    Only this process holds the other end of that pipe, which the kernel closes even if this process is killed.
    """
    null = subprocess.DEVNULL
    command = ("sh", "-c", f"read -r _; {commands}", *arguments)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, process_group=0)
