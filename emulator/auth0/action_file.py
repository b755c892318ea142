"""The forwarder Action's file as deployed to Auth0: a copy, updated after each edit that Node can parse."""

import shutil
import threading
from pathlib import Path
from typing import Self

from emulator.core.folder import TemporaryFolder
from emulator.core.journal import Journal
from emulator.core.source import SourceError, find_javascript_error


class ActionFile:
    """A context manager; `path` is the copy, `source_error` the error in an edit that isn't used."""

    def __init__(self, source: Path, journal: Journal) -> None:
        self._source, self._journal = source, journal
        self._folder = TemporaryFolder("action-")
        self._lock = threading.Lock()
        self.path = self._folder.path / source.name
        self.source_error: SourceError | None = None
        shutil.copyfile(source, self.path)
        self._seen = source.read_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.remove()

    def refresh(self) -> None:
        """Copy the file if it was edited and is valid JavaScript."""
        with self._lock:
            try:
                content = self._source.read_bytes()
            except OSError:  # an editor is replacing it right now
                return
            if content == self._seen:
                return
            self._seen = content
            self.source_error = find_javascript_error(self._source)
            if self.source_error is None:
                self.path.write_bytes(content)
            self._journal.record("code.changed", part="Action", error=self.source_error and self.source_error.as_json())
