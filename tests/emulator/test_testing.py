"""The pytest fixture. The example in docs/add-an-action.md runs in tests/docs/test_docs.py."""

import pytest
import requests

from emulator.testing import EmulatorFixture, Fault, emulator  # noqa: F401  (pytest finds fixtures by name)


def test_a_run_with_an_example_event_sends_its_email(emulator: EmulatorFixture) -> None:  # noqa: F811
    run = emulator.run("full")
    assert run.execution.status == "success"
    assert [email.to[0]["email"] for email in emulator.inbox()] == ["ada@example.com"]
    assert emulator.responses(run)[0]["status"] == "sent"


def test_each_test_starts_with_an_empty_inbox_and_without_faults(emulator: EmulatorFixture) -> None:  # noqa: F811
    emulator.inject("SendGrid", "unverified sender", count=None)
    assert emulator.run().execution.status == "action_error"
    running = emulator.parts

    running.reset()

    assert emulator.inbox() == []
    assert running.fault_toggles.pending() == []
    assert emulator.run().execution.status == "success"


def test_faults_can_be_cleared(emulator: EmulatorFixture) -> None:  # noqa: F811
    emulator.inject("Callout", "bad signature", count=None)
    assert emulator.run().execution.status == "action_error"
    emulator.clear_faults()
    assert emulator.run().execution.status == "success"


def test_an_unknown_fault_raises_an_error(emulator: EmulatorFixture) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
        emulator.inject("SendGrid", "nonsense")


def test_a_stub_records_requests_and_injects_faults(emulator: EmulatorFixture) -> None:  # noqa: F811
    service = emulator.stub("other", response="fine")
    service.faults.add(Fault("status", status=503))
    statuses = [requests.post(f"{service.url}/hook?x=1", json={"n": 1}, timeout=60).status_code for _ in "ab"]
    assert statuses == [503, 200]
    assert [(request.method, request.path, request.json, request.status) for request in service.received] == [
        ("POST", "/hook?x=1", {"n": 1}, 503),
        ("POST", "/hook?x=1", {"n": 1}, 200),
    ]
