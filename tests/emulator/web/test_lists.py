"""The API's lists of runs and emails, their live updates, and the fault toggles."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from emulator.core.faults import Fault, Faults
from emulator.emulator import example
from tests.emulator.browser_page import WebHarness
from tests.emulator.client import get, post, request


def run_for(harness: WebHarness, *names: str) -> None:
    for name in names:
        event = example()
        event["user"] = {**event["user"], "email": f"{name}@example.com"}
        harness.emulator.run(event)


def numbers(harness: WebHarness, query: str) -> list[int]:
    return [run["number"] for run in get(harness, f"/api/runs?{query}")["runs"]]


def test_runs_are_listed_newest_first_in_pages(web_harness: WebHarness) -> None:
    run_for(web_harness, "ada", "bob", "carol", "dan")
    first = get(web_harness, "/api/runs?limit=2")
    second = get(web_harness, f"/api/runs?limit=2&before={first['next']}")
    last = get(web_harness, f"/api/runs?limit=2&before={second['next']}")
    pages = [[run["number"] for run in page["runs"]] for page in (first, second, last)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert ([page["total"] for page in (first, second, last)], last["next"]) == ([5, 5, 5], None)


def test_a_run_in_brief_leads_with_its_outcome(web_harness: WebHarness) -> None:
    run_for(web_harness, "ada")
    run = get(web_harness, "/api/runs")["runs"][0]
    assert (run["outcome"], run["recipient"], run["error"]) == ("sent", "ada@example.com", None)
    assert run["title"] == f"Notice sent to ada@example.com in {run['duration_ms']} ms"
    assert run["emails"] == [2]


@pytest.mark.parametrize("query", ["bob", "BOB@EXAMPLE", "verified sender identity", "rejected the sender", "msg_"])
def test_runs_are_found_by_recipient_webhook_id_and_error(web_harness: WebHarness, query: str) -> None:
    web_harness.emulator.reset()
    run_for(web_harness, "ada")
    web_harness.emulator.fault_toggles.turn_on("SendGrid", "unverified sender")
    run_for(web_harness, "bob")
    found = numbers(web_harness, f"q={query}")
    assert found == ([2, 1] if query == "msg_" else [2])
    webhook_id = web_harness.emulator.runs[0].callout_id
    assert numbers(web_harness, f"q={webhook_id}") == [1]


def test_runs_are_found_by_number_and_by_the_emails_reference(web_harness: WebHarness) -> None:
    for _ in range(12):
        run_for(web_harness, "ada")
    assert numbers(web_harness, "q=%231") == [1]
    run = get(web_harness, "/api/runs")["runs"][0]
    assert run["reference"] in web_harness.emulator.sendgrid.inbox()[-1].request["content"][0]["value"]
    assert numbers(web_harness, f"q={run['reference']}") == [run["number"]]


def test_runs_are_found_by_outcome(web_harness: WebHarness) -> None:
    web_harness.emulator.run(example("no-email"))
    web_harness.emulator.fault_toggles.turn_on("Callout", "bad signature")
    run_for(web_harness, "bob")
    assert numbers(web_harness, "outcome=sent") == [1]
    assert numbers(web_harness, "outcome=not_sent") == [2]
    assert numbers(web_harness, "outcome=failed&outcome=sent") == [3, 1]
    assert numbers(web_harness, "outcome=queued") == []


def test_runs_are_deleted_one_by_one_or_all(web_harness: WebHarness) -> None:
    run_for(web_harness, "ada", "bob")
    post(web_harness, "/api/runs/2/delete")
    assert numbers(web_harness, "") == [3, 1]
    post(web_harness, "/api/runs/delete")
    assert numbers(web_harness, "") == []
    assert len(get(web_harness, "/api/inbox")["emails"]) == 3
    run_for(web_harness, "carol")
    assert numbers(web_harness, "") == [4]


def test_the_inbox_is_listed_newest_first_with_its_runs_and_searched(web_harness: WebHarness) -> None:
    run_for(web_harness, "ada", "bob")
    page = get(web_harness, "/api/inbox?limit=2")
    assert [(email["number"], email["run"], email["to"][0]["email"]) for email in page["emails"]] == [
        (3, 3, "bob@example.com"),
        (2, 2, "ada@example.com"),
    ]
    assert (page["total"], page["next"]) == (3, 2)
    assert [email["number"] for email in get(web_harness, "/api/inbox?q=ADA changed")["emails"]] == [2]


def test_a_deleted_email_stays_in_its_run(web_harness: WebHarness) -> None:
    run_for(web_harness, "ada")
    post(web_harness, "/api/mails/2/delete")
    assert [email["number"] for email in get(web_harness, "/api/inbox")["emails"]] == [1]
    assert get(web_harness, "/api/mails/2")["number"] == 2
    assert request("POST", f"{web_harness.url}/api/mails/2/delete").status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "before=-1"])
def test_an_invalid_page_is_rejected(web_harness: WebHarness, query: str) -> None:
    response = request("GET", f"{web_harness.url}/api/runs?{query}")
    assert response.status == 400
    assert response.json()["error"].startswith(f"{query.partition('=')[0]}: expected")


def test_only_the_latest_runs_and_emails_are_kept(web_harness: WebHarness) -> None:
    history = web_harness.emulator.run_history
    for _ in range(600):
        history.start(example())
    assert [run.number for run in history.all()] == list(range(102, 602))
    assert get(web_harness, "/api/runs?limit=500")["total"] == 500
    response = request("GET", f"{web_harness.url}/api/runs/1")
    assert (response.status, response.json()["error"]) == (404, "run 1 not found; runs 102 to 601 are kept")


def stream(harness: WebHarness) -> Iterator[dict[str, Any]]:
    response = urllib3.PoolManager().request("GET", f"{harness.url}/api/live", preload_content=False)
    while True:
        line = response.readline().decode()
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_a_new_run_and_its_email_are_announced_live(web_harness: WebHarness) -> None:
    events = stream(web_harness)
    hello = next(events)
    assert hello["instance"] == get(web_harness, "/api/state")["instance"]
    run_for(web_harness, "ada")
    outcomes, emails = [], []
    for event in events:
        emails += [event["email"]["number"]] if "email" in event else []
        outcomes += [event["run"]["outcome"]] if event.get("run", {}).get("number") == 2 else []
        if event["kind"] == "run.ended":
            break
    assert (outcomes[0], outcomes[-1], emails) == ("running", "sent", [2])


def test_a_fault_is_set_rather_than_added(web_harness: WebHarness) -> None:
    for count in (1, 1, 3):
        on = post(web_harness, "/api/switches", {"part": "SendGrid", "name": "reset", "count": count})["on"]
    assert on == [{"part": "SendGrid", "name": "reset", "count": 3}]


def test_a_fault_with_a_count_applies_before_the_one_for_every_request(web_harness: WebHarness) -> None:
    for name, count in (("unavailable", None), ("reset", 2), ("server error", None)):
        on = post(web_harness, "/api/switches", {"part": "SendGrid", "name": name, "count": count})["on"]
    assert [(fault["name"], fault["count"]) for fault in on] == [("reset", 2), ("server error", None)]


def test_a_single_fault_is_cleared(web_harness: WebHarness) -> None:
    for name in ("reset", "server error"):
        post(web_harness, "/api/switches", {"part": "SendGrid", "name": name, "count": 3})
    on = post(web_harness, "/api/switches/clear", {"part": "SendGrid", "name": "reset"})["on"]
    assert [fault["name"] for fault in on] == ["server error"]
    response = request("POST", f"{web_harness.url}/api/switches/clear", json={"part": "SendGrid", "name": "x"})
    assert (response.status, "unknown fault 'x'" in response.json()["error"]) == (400, True)


def test_faults_that_are_added_directly_stay_in_order() -> None:
    faults = Faults()
    faults.add(Fault("reset", "a"), Fault("reset", "a"), Fault("delay", "b", None))
    taken = [fault.name for fault in (faults.take(), faults.take(), faults.take(), faults.take()) if fault]
    assert taken == ["a", "a", "b", "b"]


def test_a_revoked_key_is_marked_although_its_version_is_enabled(web_harness: WebHarness) -> None:
    post(web_harness, "/api/secrets/sendgrid-api-key/rotate")
    secrets = get(web_harness, "/api/secrets")["secrets"]
    versions = next(secret["versions"] for secret in secrets if secret["name"] == "sendgrid-api-key")
    assert [(version["state"], version["revoked"]) for version in versions] == [("ENABLED", False), ("ENABLED", True)]
