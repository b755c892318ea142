"""Secrets mounted as files, as Cloud Run does with `--set-secrets`."""

import os
from typing import Self

from emulator.core.folder import TemporaryFolder
from emulator.secret_manager.server import FakeSecretManager


class SecretMount:
    """A context manager: a folder with a file for each secret that can be read, which has the latest version's value.

    Cloud Run reads the secret each time the file is opened. Here, a change of the secret replaces the file, or removes
    it if the latest version can't be read.
    """

    def __init__(self, secret_manager: FakeSecretManager) -> None:
        self._secret_manager = secret_manager
        self._folder = TemporaryFolder("secrets-")

    def __enter__(self) -> Self:
        self._secret_manager.on_change = self._write
        self._write()
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.remove()

    def path(self, name: str) -> str:
        """Return the file of the secret `projects/P/secrets/S`."""
        return str(self._folder.path / name.rpartition("/")[2])

    def _write(self) -> None:
        values = self._secret_manager.latest_values()
        for file in self._folder.path.iterdir():
            if file.name not in values:
                file.unlink()
        for name, value in values.items():
            file = self._folder.path / name
            if not file.exists() or file.read_bytes() != value:
                new = file.with_name(f".{name}")
                new.write_bytes(value)
                os.replace(new, file)  # noqa: PTH105  (atomic: a reader gets the old value or the new one)
