"""The doctor's requests: each has a deadline for the whole response."""

from typing import Any

import requests

from auth0.deadline import within

TIMEOUT_SECONDS = 10.0


def request(method: str, url: str, **options: Any) -> requests.Response:
    """Return the response. Raise requests.RequestException if there is none in time."""
    try:
        return within(TIMEOUT_SECONDS, lambda: requests.request(method, url, timeout=TIMEOUT_SECONDS, **options))
    except TimeoutError as error:
        raise requests.Timeout(str(error)) from error
