"""The doctor's requests."""

import time

import pytest
import requests

from doctor import http
from emulator.core.faults import Fault
from emulator.core.stub import Stub


@pytest.mark.parametrize("fault", [Fault("slow", seconds=0.05), Fault("hang")])
def test_a_response_that_arrives_slowly_is_abandoned(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.3)
    started = time.monotonic()
    with Stub("service", response="a response" * 100) as service:
        service.faults.add(fault)
        with pytest.raises(requests.Timeout):
            http.request("GET", service.url)
    assert time.monotonic() - started < 20  # the whole response takes more than 50 s
