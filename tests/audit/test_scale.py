"""Ten thousand changes, of which each loss, bounce, and drop is found, and nothing else."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from emulator.core.faults import Fault
from tests.audit.conftest import NOW, START, Logs, RunAudit

CHANGES = 10_000
OUTCOMES = ["missing"] * 7 + ["bounced"] * 5 + ["dropped"] * 3 + ["deferred"] * 2


def spread(number: int) -> list[datetime]:
    """Return times that are close together around noon, as after a mass reset, and rare otherwise."""
    generator = random.Random(1)
    hours = [generator.triangular(0, 23.7, 12) for _ in range(number)]
    return sorted(START + timedelta(milliseconds=int(hour * 3_600_000)) for hour in hours)


def users() -> Iterator[str]:
    """Yield addresses; every tenth user changes the password twice."""
    number = 0
    while True:
        yield f"User{number}@example.com"
        if number % 10 == 0:
            yield f"user{number}@EXAMPLE.com"
        number += 1


def test_ten_thousand_changes_are_audited_exactly(logs: Logs, run_audit: RunAudit) -> None:
    generator = random.Random(2)
    addresses = list(zip(range(CHANGES), users(), strict=False))
    generator.shuffle(addresses)
    once = [index for index, (_, address) in enumerate(addresses) if int(address[4:].partition("@")[0]) % 10]
    outcomes = dict(zip(generator.sample(once, len(OUTCOMES)), OUTCOMES, strict=True))
    twice = next(index for index in range(CHANGES) if index not in once)  # the first of the user's changes is lost
    outcomes[twice] = "missing"
    [lost] = [index for index, outcome in outcomes.items() if outcome == "missing"][:1]
    outcomes[lost] = "delivered"  # so that seven are missing
    expected = {}
    for index, ((_, address), at) in enumerate(zip(addresses, spread(CHANGES), strict=True)):
        outcome = outcomes.get(index, "delivered")
        expected[logs.change(at, address, user_id=f"auth0|{index}")["log_id"]] = outcome
        if outcome != "missing":
            logs.email(at + timedelta(seconds=generator.uniform(1, 5)), address.swapcase(), outcome)
        if index % 7 == 0:
            logs.email(at, address, category="newsletter")

    result = run_audit()

    rows = {row["log_id"]: row["status"] for row in result.json["rows"]}
    assert {log_id: status for log_id, status in rows.items() if status != expected[log_id]} == {}
    counts = {name: result.json[name] for name in ("changes", "missing", "bounced", "dropped", "deferred", "delivered")}
    assert list(counts.values()) == [CHANGES, 7, 5, 3, 2, CHANGES - 17]
    assert result.status == 1


def test_a_page_that_fails_midway_leaves_no_table(logs: Logs, run_audit: RunAudit) -> None:
    for number in range(2500):
        logs.change(NOW - timedelta(hours=1, seconds=number))
    logs.auth0.faults.add(*[Fault("delay")] * 14, Fault("status", status=500))
    result = run_audit(text=True)
    assert (result.status, result.output) == (2, "")
    assert "AUTH0_TOKEN: Auth0 responded 500" in result.errors
    assert len(logs.auth0.journal.entries(kind="tenant_log.exchange")) == 15
