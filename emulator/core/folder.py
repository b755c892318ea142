"""Temporary folders that don't survive this process."""

import subprocess
import tempfile
import weakref
from pathlib import Path

# Removes the folder at the end of its standard input, as in child.py. A process that is being killed too may still
# write into the folder, so that the first attempt fails.
_WATCHER = ("sh", "-c", 'read -r _; rm -rf "$0" || { sleep 1; rm -rf "$0"; }')


class TemporaryFolder:
    """A folder that only this user can read. It is removed when nothing refers to this object, or when this process
    ends, however it ends.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        null = subprocess.DEVNULL
        watcher = subprocess.Popen(
            (*_WATCHER, self.path), stdin=subprocess.PIPE, stdout=null, stderr=null, process_group=0
        )
        self._remove = weakref.finalize(self, watcher.communicate)  # closes the watcher's standard input, and waits

    def remove(self) -> None:
        """Remove the folder now."""
        self._remove()
