"""The watch: looks at the files every now and then, so that a slip shows when it is saved, and not at the next run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 0.5


@contextmanager
def watching(look: Callable[[], None]) -> Iterator[None]:
    """Inside, `look` is called again and again."""
    ending = threading.Event()

    def watch() -> None:
        while not ending.wait(SECONDS):
            look()

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
