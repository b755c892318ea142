"""Reading both logs: completely, or not at all."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit import auth0_log, sendgrid_log
from audit.log_client import SECOND, LogClient, Unreadable, halves, redact, whole_seconds
from emulator.auth0.tenant_log_api import FAULTS as AUTH0_FAULTS
from emulator.auth0.tenant_log_api import SEARCH_LIMIT
from emulator.core.faults import Fault
from emulator.sendgrid.faults import fault as sendgrid_fault
from tests.audit.conftest import NOW, PERIOD, START, Logs

Read = Callable[[Logs], list[Any]]


def read_changes(logs: Logs) -> list[auth0_log.Change]:
    return auth0_log.read_changes(logs.auth0_client, PERIOD)


def read_emails(logs: Logs) -> list[sendgrid_log.Email]:
    return sendgrid_log.read_emails(logs.sendgrid_client, (START, NOW))


def problem(read: Read, logs: Logs) -> Unreadable:
    with pytest.raises(Unreadable) as raised:
        read(logs)
    return raised.value


# ---- completeness ----


def test_every_change_of_the_period_is_read_past_the_search_limit(logs: Logs) -> None:
    times = [START + timedelta(seconds=number * 9.7) for number in range(2 * SEARCH_LIMIT + 1)]
    expected = {logs.change(time)["log_id"] for time in times}
    logs.change(START - timedelta(milliseconds=1))
    logs.change(PERIOD[1])
    assert {change.log_id for change in read_changes(logs)} == expected


def test_a_search_ends_with_an_empty_page(logs: Logs) -> None:
    for number in range(SEARCH_LIMIT + 50):
        logs.change(START + timedelta(seconds=number))
    assert len(read_changes(logs)) == SEARCH_LIMIT + 50
    assert len(logs.auth0.journal.entries(kind="tenant_log.exchange")) == 12


def test_more_changes_in_one_second_than_a_search_returns_are_an_error(logs: Logs) -> None:
    for number in range(SEARCH_LIMIT):
        logs.change(START + timedelta(milliseconds=number % 1000))
    assert "1,000 records or more in one second" in str(problem(read_changes, logs))


def test_a_log_that_is_not_sorted_as_requested_is_read_completely(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(SEARCH_LIMIT + 200):
        logs.change(START + timedelta(seconds=number * 7 % 4001))
    search = logs.auth0._search
    monkeypatch.setattr(logs.auth0, "_search", lambda query, _sort: search(query, "date:1"))
    assert len(read_changes(logs)) == SEARCH_LIMIT + 200


def test_every_email_of_the_period_is_read_past_the_response_limit(logs: Logs) -> None:
    for number in range(2500):
        logs.email(START + timedelta(seconds=number * 30))
    logs.email(START - timedelta(seconds=1))
    logs.email(START, category="marketing")
    assert len({email.message_id for email in read_emails(logs)}) == 2500


def test_as_many_emails_in_one_second_as_fit_in_a_response_are_an_error(logs: Logs) -> None:
    for _ in range(1000):
        logs.email(START)
    assert "in one second" in str(problem(read_emails, logs))


@pytest.mark.parametrize("size", [1, 99])
def test_a_page_that_is_not_full_is_not_taken_for_the_last_one(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    number_of_changes = 12 * size + 13
    expected = {logs.change(START + number * SECOND)["log_id"] for number in range(number_of_changes)}
    read = LogClient.read

    def read_less(client: LogClient, method: str, path: str, **parts: Any) -> Any:
        return read(client, method, path, params={**parts["params"], "per_page": size})

    monkeypatch.setattr(LogClient, "read", read_less)
    assert {change.log_id for change in read_changes(logs)} == expected


@pytest.mark.parametrize("is_one_second", [False, True])
def test_records_of_equal_times_whose_order_changes_between_pages_are_read_or_an_error(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, is_one_second: bool
) -> None:
    times = [START] * 80 + [START if is_one_second else START + timedelta(seconds=10)] * 60
    expected = {logs.change(time)["log_id"] for time in times}
    search, requests = logs.auth0._search, itertools.count()

    def search_without_order(query: str, sort: str) -> list[dict[str, Any]]:
        step = -1 if next(requests) % 2 else 1
        return sorted(list(search(query, sort))[::step], key=lambda record: str(record["date"]), reverse=True)

    monkeypatch.setattr(logs.auth0, "_search", search_without_order)
    if is_one_second:
        assert "changed the order of its records while 2026-11-22T12:00:00Z was read" in str(
            problem(read_changes, logs)
        )
    else:
        assert {change.log_id for change in read_changes(logs)} == expected


def test_an_email_that_is_listed_twice_counts_once(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.email(START)
    search = logs.sendgrid.log.search
    monkeypatch.setattr(logs.sendgrid.log, "search", lambda body: {"messages": 2 * search(body)["messages"]})
    assert len(read_emails(logs)) == 1


# ---- records ----


def test_a_change_has_what_its_record_says(logs: Logs) -> None:
    record = logs.change(START, "Ann@example.com", user_id="auth0|1", user_agent="Chrome 120.0.0 / Mac OS X 10.15.7")
    [change] = read_changes(logs)
    assert change == auth0_log.Change(
        record["log_id"],
        START,
        "Ann@example.com",
        "auth0|1",
        "Users",
        "example-tenant",
        "192.0.2.7",
        "Chrome 120.0.0 / Mac OS X 10.15.7",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"user_name": "", "details": {"body": {}, "query": {"email": "ann@example.com"}}},
        {"user_name": "ann@example.com", "details": {"body": {}}},
        {"user_name": "ann", "details": {"body": {}, "email": " ann@example.com "}},
    ],
)
def test_the_address_is_in_any_of_three_places(logs: Logs, fields: dict[str, Any]) -> None:
    logs.change(START, **fields)
    assert [change.address for change in read_changes(logs)] == ["ann@example.com"]


def test_a_user_name_is_not_an_address(logs: Logs) -> None:
    logs.change(START, user_name="ann", details={"body": {}})
    assert [change.address for change in read_changes(logs)] == [""]


@pytest.mark.parametrize("missing", [{"date": {"$date": 1}}, {"date": ""}])
def test_a_record_without_a_date_is_an_error(
    logs: Logs, missing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {**logs.change(START), **missing}
    monkeypatch.setattr(logs.auth0, "_search", lambda *_: [record])
    assert f"a record without a date, {record['log_id']}" in str(problem(read_changes, logs))


def test_a_log_id_can_be_called_id(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    record = logs.change(START)
    record["_id"] = record.pop("log_id")
    monkeypatch.setattr(logs.auth0, "_search", lambda *_: [record])
    assert [change.log_id for change in read_changes(logs)] == [record["_id"]]


def test_failures_of_other_triggers_are_left_out(logs: Logs) -> None:
    for trigger in ("post-login", "post-change-password"):
        details = {"trigger_id": trigger, "error_class": "action_timeout"}
        logs.change(START, type="actions_execution_failed", details=details)
    logs.change(START, type="fcph", description="Hook failed", details={})
    failures = auth0_log.read_failures(logs.auth0_client, PERIOD)
    assert [(failure.type, failure.cause) for failure in failures] == [
        ("actions_execution_failed", "action_timeout"),
        ("fcph", "Hook failed"),
    ]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("delivered", "delivered"),
        ("deferred", "deferred"),
        ("bounced", "bounced"),
        ("blocked", "blocked"),
        ("dropped", "dropped"),
    ],
)
def test_an_email_has_the_status_that_sendgrid_reports(logs: Logs, outcome: str, status: str) -> None:
    logs.email(START, outcome=outcome)
    [email] = read_emails(logs)
    assert (email.status, bool(email.reason)) == (status, status != "delivered")


def test_an_email_that_is_only_processed_is_accepted(logs: Logs) -> None:
    logs.email(NOW - timedelta(seconds=30), outcome="delivered late")
    assert [email.status for email in read_emails(logs)] == ["accepted"]


def test_an_unknown_status_is_an_error(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.email(START)
    [message] = logs.sendgrid.log.search({"limit": 1})["messages"]
    monkeypatch.setattr(logs.sendgrid.log, "search", lambda _: {"messages": [{**message, "status": "lost"}]})
    assert "unknown status, lost" in str(problem(read_emails, logs))


# ---- failures of a read ----


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("expired token", ("AUTH0_TOKEN", "401 Expired token", "get a new token")),
        ("missing scope", ("AUTH0_TOKEN", "403 Insufficient scope", "read:logs", "plan")),
        ("server error", ("AUTH0_TOKEN", "500", "try again later")),
        ("too many requests", ("AUTH0_TOKEN", "429", "try again later")),
    ],
)
def test_an_error_response_of_auth0_is_reported_with_its_fix(logs: Logs, name: str, texts: tuple[str, ...]) -> None:
    logs.auth0.faults.add(AUTH0_FAULTS[name], *[AUTH0_FAULTS["too many requests"]] * 20)
    message = str(problem(read_changes, logs))
    assert [text for text in texts if text not in message] == []


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("wrong key", ("SENDGRID_LOGS_KEY", "401", "copy the whole key")),
        ("missing scope", ("SENDGRID_LOGS_KEY", "403 access forbidden", "permission", "plan")),
        ("unavailable", ("SENDGRID_LOGS_KEY", "503", "try again later")),
    ],
)
def test_an_error_response_of_sendgrid_is_reported_with_its_fix(logs: Logs, name: str, texts: tuple[str, ...]) -> None:
    logs.sendgrid.log_faults.add(sendgrid_fault(name, count=None))
    message = str(problem(read_emails, logs))
    assert [text for text in texts if text not in message] == []


@pytest.mark.parametrize("fault", [Fault("reset"), Fault("cut"), Fault("status", status=200, body="<html>")])
def test_a_page_that_fails_midway_is_an_error(logs: Logs, fault: Fault) -> None:
    for number in range(250):
        logs.change(START + timedelta(seconds=number))
        logs.email(START + timedelta(seconds=number))
    logs.auth0.faults.add(Fault("delay"), Fault("delay"), fault)
    assert problem(read_changes, logs).variable.startswith("AUTH0_")
    logs.sendgrid.log_faults.add(fault)
    assert problem(read_emails, logs).variable.startswith("SENDGRID_")


@pytest.mark.parametrize(
    ("url", "ca_bundle", "cause"),
    [
        ("https://127.0.0.1:1", "", "ConnectionRefusedError: Connection refused"),
        ("https://127.0.0.1:1", "/nowhere.pem", "OSError: Could not find a suitable TLS CA certificate bundle"),
        (f"https://{'a' * 70}.example", "", "too long"),
        ("https://example .com", "", "invalid character"),
    ],
)
def test_what_keeps_a_request_from_being_sent_is_named(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, url: str, ca_bundle: str, cause: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
    logs.environment["SENDGRID_URL"] = url
    message = str(problem(read_emails, logs))
    assert message.startswith(f"SENDGRID_URL: no complete response from {url}: ")
    assert cause in message
    assert "HTTPS_PROXY, REQUESTS_CA_BUNDLE" in message


def test_a_response_that_arrives_too_slowly_is_an_error(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.log_client.RESPONSE_TIMEOUT_SECONDS", 0.5)
    logs.auth0.faults.add(Fault("slow", seconds=0.02))
    assert "no complete response" in str(problem(read_changes, logs))


def test_a_request_is_repeated_after_the_wait_that_a_rate_limit_requests(logs: Logs, time: Any) -> None:
    logs.auth0.rate_limit = 3
    for number in range(990):
        logs.change(START + timedelta(seconds=number))
    assert len(read_changes(logs)) == 990
    assert time.slept == [1.0, 1.0, 1.0]
    logs.sendgrid.log_faults.add(sendgrid_fault("too many requests", seconds=5))
    logs.sendgrid.log_faults.add(sendgrid_fault("too many requests, no hint"))
    assert read_emails(logs) == []
    assert time.slept[3:] == [5.0, 2.0]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_request_is_repeated_during_a_short_outage(logs: Logs, time: Any, status: int) -> None:
    for number in range(250):
        logs.change(START + timedelta(seconds=number))
    outage = [Fault("status", status=status), Fault("status", status=status, headers={"Retry-After": "9"})]
    logs.auth0.faults.add(Fault("delay"), Fault("delay"), *outage)
    assert len(read_changes(logs)) == 250
    assert time.slept == [1.0, 9.0]
    logs.sendgrid.log_faults.add(*outage)
    assert read_emails(logs) == []
    assert time.slept[2:] == [1.0, 9.0]


def test_a_long_outage_is_an_error(logs: Logs, time: Any) -> None:
    logs.sendgrid.log_faults.add(Fault("status", status=503, count=None))
    message = str(problem(read_emails, logs))
    assert message.startswith("SENDGRID_LOGS_KEY: SendGrid responded 503 SERVICE UNAVAILABLE: try again later")
    assert time.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_rate_limit_that_requests_too_long_a_wait_is_an_error(logs: Logs) -> None:
    logs.sendgrid.log_faults.add(sendgrid_fault("too many requests", seconds=3600))
    assert "requests a wait of 3600 s" in str(problem(read_emails, logs))


def test_the_time_for_a_whole_log_is_limited(logs: Logs, time: Any) -> None:
    client = logs.auth0_client
    time.advance(1800)
    with pytest.raises(Unreadable, match="longer than half an hour"):
        auth0_log.read_changes(client, PERIOD)


def test_client_credentials_get_a_token(logs: Logs) -> None:
    del logs.environment["AUTH0_TOKEN"]
    logs.environment |= {"AUTH0_CLIENT_ID": logs.auth0.client_id, "AUTH0_CLIENT_SECRET": logs.auth0.client_secret}
    logs.change(START)
    assert len(read_changes(logs)) == 1
    logs.auth0.faults.add(Fault("status", status=403, body='{"error_description":"not authorized"}'))
    assert "403 not authorized: authorize the application" in str(problem(read_changes, logs))
    logs.environment["AUTH0_CLIENT_SECRET"] = "wrong"
    assert "AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET: 401" in str(problem(read_changes, logs))


def test_a_redirect_is_not_followed(logs: Logs) -> None:
    logs.auth0.faults.add(Fault("status", status=302, headers={"Location": f"{logs.sendgrid.url}/v3/logs"}))
    assert "302" in str(problem(read_changes, logs))
    assert logs.sendgrid.journal.entries() == []


def test_a_netrc_file_does_not_replace_the_token(logs: Logs, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert read_changes(logs) == []


@pytest.mark.parametrize("value", ["a b", "a\nb", "ключ"])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(logs: Logs, value: str) -> None:
    logs.environment["SENDGRID_LOGS_KEY"] = value
    error = problem(read_emails, logs)
    assert error.variable == "SENDGRID_LOGS_KEY"
    assert value not in str(error)


@pytest.mark.parametrize(
    "url", ["http://sendgrid.example", "sendgrid.example", "https://user@host", "https://h:x", "https://[::1"]
)
def test_a_url_that_is_not_https_is_an_error(logs: Logs, url: str) -> None:
    logs.environment["SENDGRID_URL"] = url
    assert "SENDGRID_URL: isn't an https URL" in str(problem(read_emails, logs))


# ---- texts ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for ann@example.com, 5.1.1 <bob@example.com>: gone", "for [address] 5.1.1 <[address]>: gone"),
        ("auth0|o'brien@example.com", "auth0|[address]"),
        ("'ann@example.com' and \"ann@example.com\"", "'[address]' and \"[address]\""),
        ('"john doe"@example.com', "[address]"),
        ('{"to":"ann@example.com","code":1}', '{"to":"[address]","code":1}'),
        ("GET /users/auth0%7Cann%40example.com", "GET [address]"),
        ("a\x1b[31m\u202eb\u2066\n\tc\x00", "a [31m b c"),
    ],
)
def test_a_text_of_a_log_is_shown_without_addresses_and_control_characters(text: str, expected: str) -> None:
    assert redact(text) == expected


# ---- periods ----


def test_halves_cover_the_period_without_overlap() -> None:
    period = (START, START + timedelta(seconds=5))
    (first, middle), (again, last) = halves(period)
    assert (first, middle, last) == (START, again, period[1])
    assert halves((START, START + timedelta(seconds=1))) == [(START, START + timedelta(seconds=1))]


def test_whole_seconds_contain_the_period() -> None:
    period = (START + timedelta(milliseconds=1), START + timedelta(seconds=2, milliseconds=1))
    assert whole_seconds(period) == (START, START + timedelta(seconds=3))
    assert whole_seconds((START, NOW)) == (START, NOW)
