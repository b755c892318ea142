"""A deadline for a whole call: a timeout of requests or urllib limits each read, not a response that arrives slowly."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises; after `seconds`, abandon it and raise TimeoutError."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  (it is raised in the caller)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # abandoned, it doesn't keep the process from ending
    if not wait([future], seconds).done:
        raise TimeoutError(f"it took longer than {seconds:g} s")
    return future.result()
