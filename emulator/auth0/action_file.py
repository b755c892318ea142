"""The Action's file as Auth0 has it: a copy, renewed when the file was edited and Node can still read it."""

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Self

from emulator.core.journal import Journal
from emulator.core.source import SourceError, find_javascript_error


class ActionFile:
    """A context manager; `path` is the copy, `fault` what is wrong with an edit that is not used therefore."""

    def __init__(self, source: Path, journal: Journal) -> None:
        self._source, self._journal = source, journal
        self._folder = tempfile.TemporaryDirectory(prefix="action-")
        self._lock = threading.Lock()
        self.path = Path(self._folder.name) / source.name
        self.source_error: SourceError | None = None
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
            self.source_error = find_javascript_error(self._source)
            if self.source_error is None:
                self.path.write_bytes(now)
            self._journal.record("code.changed", part="Action", fault=self.source_error and self.source_error.as_json())
