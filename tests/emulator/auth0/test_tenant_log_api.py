"""The emulated tenant log over HTTP: search, checkpoints, and error responses."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from emulator.auth0.tenant_log import TenantLog
from emulator.auth0.tenant_log_api import FakeTenantLog
from emulator.core.journal import Journal

TIME = datetime(2026, 11, 23, 10, 15, 30, 123000, UTC)


@pytest.fixture
def log() -> Iterator[FakeTenantLog]:
    with FakeTenantLog(TenantLog(TIME.timestamp), Journal()) as log:
        yield log


def get(log: FakeTenantLog, path: str = "", *, token: str = "", **parameters: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or log.new_token()}"}
    return requests.get(f"{log.url}/api/v2/logs{path}", params=parameters, headers=headers, timeout=20)


def ids(response: requests.Response) -> list[str]:
    assert response.status_code == 200
    return [record["log_id"] for record in response.json()]


def test_a_record_gets_an_id_that_contains_its_date(log: FakeTenantLog) -> None:
    record = log.log.add({"type": "scp"})
    assert record["date"] == "2026-11-23T10:15:30.123Z"
    assert record["log_id"].startswith("90020261123101530123")
    assert get(log, f"/{record['log_id']}").json() == record


def test_a_search_finds_type_and_date_with_inclusive_and_exclusive_ends(log: FakeTenantLog) -> None:
    first, second, _ = (log.log.add({"type": "scp", "date": f"2026-11-23T10:00:0{n}Z"}) for n in range(3))
    log.log.add({"type": "fcph", "date": "2026-11-23T10:00:01Z"})
    query = "type:scp AND date:[2026-11-23T10:00:00 TO 2026-11-23T10:00:02}"
    assert ids(get(log, q=query)) == [second["log_id"], first["log_id"]]
    assert ids(get(log, q=query, sort="date:1")) == [first["log_id"], second["log_id"]]
    assert ids(get(log, q='type:"scp" AND date:{2026-11-23T10:00:00 TO 2026-11-23T10:00:01]')) == [second["log_id"]]


def test_a_search_has_pages_of_at_most_100_and_1000_results(log: FakeTenantLog) -> None:
    for _ in range(1001):
        log.log.add({"type": "scp"})
    assert len(ids(get(log))) == 50
    pages = [ids(get(log, page=page, per_page=100)) for page in range(10)]
    assert len({log_id for page in pages for log_id in page}) == 1000
    assert get(log, page=10, per_page=100).json()["message"].startswith("You can only page through the first 1000")
    assert get(log, per_page=101).status_code == 400


def test_totals_count_only_the_page(log: FakeTenantLog) -> None:
    for _ in range(3):
        log.log.add({"type": "scp"})
    body = get(log, page=1, per_page=2, include_totals="true").json()
    assert body == {"start": 2, "limit": 2, "length": 1, "total": 1, "logs": get(log, page=1, per_page=2).json()}
    assert get(log, include_totals="false").json() == get(log).json()


def test_fields_select_or_exclude_parts_of_each_record(log: FakeTenantLog) -> None:
    record = log.log.add({"type": "scp", "ip": "192.0.2.1"})
    assert get(log, fields="type,ip,nosuch").json() == [{"type": "scp", "ip": "192.0.2.1"}]
    without = {name: value for name, value in record.items() if name not in ("type", "ip")}
    assert get(log, fields="type,ip", include_fields="false").json() == [without]


def test_an_unknown_parameter_is_an_error(log: FakeTenantLog) -> None:
    response = get(log, search="scp", per_pgae=5)
    assert response.status_code == 400
    assert response.json()["message"].endswith("Additional properties not allowed: per_pgae, search")


def test_a_checkpoint_leads_through_the_whole_log(log: FakeTenantLog) -> None:
    expected = [log.log.add({"type": "scp"})["log_id"] for _ in range(5)]
    found: list[str] = []
    page = get(log, take=2, q="type:none")
    while ids(page):
        found += ids(page)
        assert page.links["next"]["url"] == f"{log.url}/api/v2/logs?from={found[-1]}&take=2"
        page = get(log, f"?from={found[-1]}&take=2")
    assert found == expected
    assert page.links["next"]["url"].endswith(f"from={expected[-1]}&take=2")


@pytest.mark.parametrize(
    "query",
    [
        "details.email:a",
        "type:scp OR type:fcph",
        "NOT type:scp",
        "date:[a TO b]",
        "type:[a TO b]",
        "type",
        "(type:scp)",
    ],
)
def test_a_query_that_the_emulator_does_not_support_is_an_error(log: FakeTenantLog, query: str) -> None:
    assert get(log, q=query).status_code == 400


def test_a_token_must_be_known_fresh_and_have_the_scope(log: FakeTenantLog) -> None:
    expired = log.new_token()
    log.expire(expired)
    errors = [get(log, token=token).json() for token in ("wrong", expired, log.new_token("read:users"))]
    assert [(error["statusCode"], error["error"]) for error in errors] == [
        (401, "Unauthorized"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
    ]
    assert "Expired" in errors[1]["message"]
    assert errors[2]["errorCode"] == "insufficient_scope"


def test_a_rate_limit_names_the_second_when_it_ends(log: FakeTenantLog) -> None:
    log.rate_limit = 1
    assert get(log).status_code == 200
    response = get(log)
    assert response.status_code == 429
    assert response.headers["X-RateLimit-Reset"] == str(int(TIME.timestamp()) + 1)


def test_client_credentials_get_a_token_for_the_api(log: FakeTenantLog) -> None:
    grant = {
        "grant_type": "client_credentials",
        "client_id": log.client_id,
        "client_secret": log.client_secret,
        "audience": f"{log.url}/api/v2/",
    }
    token = requests.post(f"{log.url}/oauth/token", json=grant, timeout=20).json()["access_token"]
    assert get(log, token=token).status_code == 200
    wrong = requests.post(f"{log.url}/oauth/token", json={**grant, "client_secret": "x"}, timeout=20)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "access_denied")


def test_an_unknown_path_or_record_is_not_found(log: FakeTenantLog) -> None:
    assert get(log, "/900").json()["message"] == "Log event not found"
    assert requests.get(f"{log.url}/api/v2/users", timeout=20).json()["statusCode"] == 404
