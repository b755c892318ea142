"""The watch: looks at the files every now and then, so that a slip shows when it is saved, and not at the next run."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

SECONDS = 0.5


class Watch:
    """Calls `look` again and again, as a context manager."""

    def __init__(self, look: Callable[[], None], *, seconds: float = SECONDS) -> None:
        self._look, self._seconds, self._ending = look, seconds, threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._seconds):
            self._look()
