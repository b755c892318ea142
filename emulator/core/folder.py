"""Temporary folders that are removed when this process ends."""

import tempfile
import weakref
from pathlib import Path

from emulator.core.child import start_watcher

# The first attempt fails if a process that is also being killed still writes to the folder.
_REMOVE = 'rm -rf "$0" || { sleep 1; rm -rf "$0"; }'


class TemporaryFolder:
    """A folder that only this user can read.

    It is removed when nothing refers to this object anymore, or when this process ends, even if it is killed.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        watcher = start_watcher(_REMOVE, self.path)
        self._remove = weakref.finalize(self, watcher.communicate)  # closes the watcher's standard input, and waits

    def remove(self) -> None:
        """Remove the folder now."""
        self._remove()
