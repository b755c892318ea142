"""Where each member of a JSON text stands, which Python's own parser does not tell."""

import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed does not know it

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r'[^,\]}"\s]+')


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, on which each member or item begins; of a name that stands twice, the last.

    `text` must be JSON.
    """
    return {path: text.count("\n", 0, at) + 1 for path, at in _Walk(text).value(())}


class _Walk:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def value(self, path: Path, at: int | None = None) -> Iterator[tuple[Path, int]]:
        """`at`: where the member's name begins, which is what a person looks for."""
        first = self._peek()
        yield path, self._at if at is None else at
        if first == "{":
            yield from self._object(path)
        elif first == "[":
            yield from self._array(path)
        elif first == '"':
            self._string()
        elif match := _SCALAR.match(self._text, self._at):
            self._at = match.end()

    def _object(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._at += 1
        while self._peek() not in ("}", ""):
            at, name = self._at, self._string()
            self._peek()
            self._at += 1  # the colon
            yield from self.value((*path, name), at)
            self._comma()
        self._at += 1

    def _array(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._at += 1
        index = 0
        while self._peek() not in ("]", ""):
            yield from self.value((*path, index))
            self._comma()
            index += 1
        self._at += 1

    def _comma(self) -> None:
        if self._peek() == ",":
            self._at += 1

    def _string(self) -> str:
        value, self._at = scanstring(self._text, self._at + 1)
        return str(value)
