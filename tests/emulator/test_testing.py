"""The pytest fixture: what it promises. The example in docs/testing.md runs in tests/docs/test_docs.py."""

import pytest
import urllib3

from emulator.testing import Emulated, Fault, emulator  # noqa: F401  (pytest finds fixtures by their names)


def test_a_run_by_an_examples_name_brings_its_mail(emulator: Emulated) -> None:  # noqa: F811
    run = emulator.run("full")
    assert run.execution.status == "success"
    assert [mail.to[0]["email"] for mail in emulator.inbox()] == ["ada@example.com"]
    assert emulator.answers(run)[0]["status"] == "sent"


def test_each_test_begins_with_an_empty_inbox_and_nothing_broken(emulator: Emulated) -> None:  # noqa: F811
    emulator.breaks("SendGrid", "unverified sender", count=None)
    assert emulator.run().execution.status == "action_error"
    running = emulator.parts

    running.reset()

    assert emulator.inbox() == []
    assert running.fault_toggles.pending() == []
    assert emulator.run().execution.status == "success"


def test_what_is_broken_is_repaired_at_once(emulator: Emulated) -> None:  # noqa: F811
    emulator.breaks("Callout", "bad signature", count=None)
    assert emulator.run().execution.status == "action_error"
    emulator.repair()
    assert emulator.run().execution.status == "success"


def test_a_part_or_a_name_that_is_none_is_told(emulator: Emulated) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="unknown fault 'nonsense'"):
        emulator.breaks("SendGrid", "nonsense")


def test_a_stand_in_records_and_fails_when_told_to(emulator: Emulated) -> None:  # noqa: F811
    other = emulator.stand_in("other", answer="fine")
    other.faults.add(Fault("status", status=503))
    statuses = [urllib3.request("POST", f"{other.url}/hook?x=1", json={"n": 1}, retries=False).status for _ in "ab"]
    assert statuses == [503, 200]
    assert [(got.method, got.path, got.json, got.status) for got in other.received] == [
        ("POST", "/hook?x=1", {"n": 1}, 503),
        ("POST", "/hook?x=1", {"n": 1}, 200),
    ]
