"""Find the line of each field in a JSON text, which Python's parser doesn't report."""

import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # missing in typeshed

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r'[^,\]}"\s]+')


def lines(text: str) -> dict[Path, int]:
    """Return the line, starting at 1, of each field or item in valid JSON; of the last one for duplicate names."""
    return {path: text.count("\n", 0, at) + 1 for path, at in _Scanner(text).value(())}


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def value(self, path: Path, at: int | None = None) -> Iterator[tuple[Path, int]]:
        """Yield the position of a value and of those in it; `at` is the start of the field's name, if it has one."""
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
