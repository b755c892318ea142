"""The Action's file as Auth0 has it: a copy, renewed when the file was edited and Node can still read it."""

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Self

from emulator.core.journal import Journal
from emulator.core.source import SourceError, javascript_fault


class ActionFile:
    """A context manager; `path` is the copy, `fault` what is wrong with an edit that is not used therefore."""

    def __init__(self, source: Path, journal: Journal) -> None:
        self._source, self._journal = source, journal
        self._folder = tempfile.TemporaryDirectory(prefix="action-")
        self._lock = threading.Lock()
        self.path = Path(self._folder.name) / source.name
        self.fault: SourceError | None = None
        shutil.copyfile(source, self.path)
        self._seen = source.read_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def refresh(self) -> None:
        with self._lock:
            try:
                now = self._source.read_bytes()
            except OSError:  # an editor is just replacing it
                return
            if now == self._seen:
                return
            self._seen = now
            self.fault = javascript_fault(self._source)
            if self.fault is None:
                self.path.write_bytes(now)
            self._journal.record("code.changed", part="Action", fault=self.fault and self.fault.as_json())
