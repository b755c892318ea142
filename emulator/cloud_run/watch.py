"""Poll for edits, so that an error is reported when the file is saved, not at the next run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL_SECONDS = 0.5


@contextmanager
def watching(refresh: Callable[[], None]) -> Iterator[None]:
    """Call `refresh` periodically while the context is active."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(INTERVAL_SECONDS):
            refresh()

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
