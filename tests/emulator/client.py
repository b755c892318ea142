"""An HTTP client for tests of the emulator."""

from typing import Any

import urllib3

from tests.emulator.browser_page import WebHarness

TIMEOUT_SECONDS = 60  # for slow machines; the default of urllib3.request is 3


def request(method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, url, timeout=TIMEOUT_SECONDS, retries=False, **options)


def get(harness: WebHarness, path: str) -> Any:
    """Return the JSON of a successful response."""
    return _json(request("GET", harness.url + path))


def post(harness: WebHarness, path: str, body: Any = None) -> Any:
    return _json(request("POST", harness.url + path, json=body))


def _json(response: urllib3.BaseHTTPResponse) -> Any:
    assert response.status == 200, response.data
    return response.json()
