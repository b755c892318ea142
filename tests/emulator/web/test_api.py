"""The emulator's API: cross-site protection, responses, errors, and documentation."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
import urllib3

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import example
from tests.emulator.browser_page import WebHarness
from tests.emulator.client import request

Result = tuple[int, Any]


class InlineCodeFinder(HTMLParser):
    """Collects tags with inline scripts or styles, which the content security policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.inline_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        is_inline = tag == "style" or (tag == "script" and "src" not in names)
        if is_inline or "style" in names or any(name.startswith("on") for name in names):
            self.inline_tags.append(self.get_starttag_text() or tag)


def call(
    harness: WebHarness, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Result:
    response = request(method, harness.url + path, json=body, headers=dict(headers or {}))
    is_json = response.headers.get("Content-Type") == "application/json"
    return response.status, response.json() if is_json else response.data.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:8765"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/runs/1", "/static/app.js", "/nowhere"])
def test_requests_from_other_hosts_and_sites_are_rejected(
    web_harness: WebHarness, path: str, headers: dict[str, str]
) -> None:
    status, body = call(web_harness, "GET", path, headers=headers)
    assert (status, set(body)) == (403, {"error"})


def test_another_sites_page_cannot_start_a_run(web_harness: WebHarness) -> None:
    status, _ = call(web_harness, "POST", "/api/runs", example(), {"Origin": "https://attacker.example"})
    assert status == 403
    assert len(web_harness.emulator.runs) == 1


def test_a_link_from_another_site_can_be_followed(web_harness: WebHarness) -> None:
    status, _ = call(
        web_harness, "GET", "/runs/1", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    )
    assert status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_host_names_are_accepted(web_harness: WebHarness, host: str) -> None:
    status, _ = call(web_harness, "GET", "/runs/1", headers={"Host": f"{host}:8765", "Origin": f"http://{host}:8765"})
    assert status == 200


def test_every_response_forbids_foreign_scripts(web_harness: WebHarness) -> None:
    for path in ("/runs/1", "/api", "/static/style.css", "/nowhere"):
        response = request("GET", web_harness.url + path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_an_emails_html_has_its_own_policy_that_allows_no_script(web_harness: WebHarness) -> None:
    number = web_harness.emulator.sendgrid.inbox()[0].id
    policy = request("GET", f"{web_harness.url}/api/mails/{number}/html").headers["Content-Security-Policy"]
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert re.search(r"sandbox (?!.*allow-scripts)", policy)


def test_no_page_has_inline_scripts_or_styles(web_harness: WebHarness) -> None:
    email = f"/inbox/{web_harness.emulator.sendgrid.inbox()[0].id}"
    for path in ("/runs/1", "/test", email, "/faults", "/secrets", "/login", "/admin", "/runs/1/languages"):
        status, html = call(web_harness, "GET", path)
        assert status == 200, path
        finder = InlineCodeFinder()
        finder.feed(html)
        assert finder.inline_tags == [], path


def test_get_requests_change_nothing(web_harness: WebHarness) -> None:
    _, index = call(web_harness, "GET", "/api")
    for row in index["api"]:
        if row["method"] == "POST" and row["path"] not in ("/api/runs", "/api/switches", "/api/queue", "/api/examples"):
            path = re.sub(r"<[^>]+>", "1", row["path"])
            assert call(web_harness, "GET", path)[0] in (404, 405), path
    assert len(web_harness.emulator.runs) == 1


def test_the_documentation_lists_every_method_with_its_docstring(web_harness: WebHarness) -> None:
    _, index = call(web_harness, "GET", "/api")
    rows = [f"| `{row['method']} {row['path']}` | {row['what']} |" for row in index["api"]]
    text = (PROJECT_ROOT / "docs" / "emulator-api.md").read_text("utf-8")
    documented = re.findall(r"^\| `(?:GET|POST) /api.*$", text, re.MULTILINE)
    assert documented == rows


def test_a_run_returns_its_result_in_auth0s_format_and_every_step(web_harness: WebHarness) -> None:
    status, run = call(web_harness, "POST", "/api/runs", example("full"))
    assert status == 200
    assert (run["number"], run["url"], run["status"]) == (2, "/runs/2", "success")
    assert set(run["result"]["payload"]) == {"stats"}
    assert [step["who"] for step in run["steps"]][:2] == ["Event", "Callout"]
    assert "Ditt lösenord har ändrats" in run["mail"]
    assert call(web_harness, "GET", "/api/runs/2") == (200, run)


def test_a_failed_run_has_name_message_and_stack(web_harness: WebHarness) -> None:
    call(web_harness, "POST", "/api/switches", {"part": "Callout", "name": "bad signature"})
    _, run = call(web_harness, "POST", "/api/runs/1/replay")
    assert run["status"] == "action_error"
    assert set(run["result"]["payload"]["error"]) == {"name", "message", "stack", "line"}
    assert run["kept"].startswith("Error sending email to j+smith@example.com: 401 invalid_signature")


@pytest.mark.parametrize("path", ["/api/runs/9", "/api/mails/9999", "/api/nothing", "/api/queue", "/api/runs/9/curl"])
def test_a_missing_resource_returns_a_json_error(web_harness: WebHarness, path: str) -> None:
    status, body = call(web_harness, "GET", path)
    assert (status, list(body)) == (404, ["error"])


@pytest.mark.parametrize("text", ["{", "[]", "1", "null", '"x"', "[" * 100_000])
def test_an_event_that_is_not_an_object_is_rejected(web_harness: WebHarness, text: str) -> None:
    response = request("POST", f"{web_harness.url}/api/runs", body=text.encode())
    assert response.status == 400
    assert response.json()["error"].startswith("the event is not")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/switches", {"part": "SendGrid", "name": "nonsense"}, "unknown fault"),
        ("/api/switches", {"name": "server error"}, "part: expected a string"),
        ("/api/switches", {"part": "SendGrid", "name": "server error", "count": 0}, "count must be"),
        ("/api/switches", {"part": "SendGrid", "name": "server error", "count": True}, "count must be"),
        ("/api/secrets/sendgrid-api-key/versions", {"value": 3}, "value: expected a string"),
        ("/api/secrets/a b/versions", {"value": "x" * 70_000}, "must not be larger"),
        ("/api/secrets/sendgrid-api-key/versions/1", {"enabled": "yes"}, "enabled: expected"),
        ("/api/secrets/unknown/rotate", {}, "can't rotate unknown"),
        ("/api/passwords/forgotten", {}, "email: expected a string"),
        ("/api/passwords/forgotten", {"email": "nobody"}, "Enter a valid email address"),
        ("/api/passwords/reset", {"ticket": "x", "password": "y" * 8, "again": "y" * 8, "place": "Tokyo"}, "expired"),
        ("/api/passwords/reset", {"ticket": "x", "password": "y", "again": "y", "place": "Atlantis"}, "Unknown place"),
    ],
)
def test_an_invalid_request_returns_the_reason(web_harness: WebHarness, path: str, body: Any, message: str) -> None:
    status, response = call(web_harness, "POST", path, body)
    assert status == 400
    assert message in response["error"]


def test_the_state_lists_active_faults_and_a_reset_clears_them(web_harness: WebHarness) -> None:
    call(web_harness, "POST", "/api/switches", {"part": "SendGrid", "name": "timeout", "count": None})
    _, state = call(web_harness, "GET", "/api/state")
    assert state["on"] == [{"part": "SendGrid", "name": "timeout", "count": None}]
    assert (state["runs"], state["mails"], state["faults"]) == (1, 1, [])
    call(web_harness, "POST", "/api/reset")
    _, state = call(web_harness, "GET", "/api/state")
    assert (state["on"], state["runs"], state["mails"]) == ([], 0, 0)


def test_journal_entries_are_streamed_from_any_number(web_harness: WebHarness) -> None:
    pool = urllib3.PoolManager()
    response = pool.request("GET", f"{web_harness.url}/api/live?after=0", preload_content=False)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    kinds = []
    while "run.ended" not in kinds:
        line = response.readline().decode()
        if line.startswith("data: "):
            kinds.append(json.loads(line[6:])["kind"])
    assert {"function.exchange", "sendgrid.mail", "auth0.execution"} <= set(kinds)
    response.close()


def test_event_findings_include_their_lines(web_harness: WebHarness) -> None:
    response = request("POST", f"{web_harness.url}/api/check", body=b'{\n"user": 3}')
    findings = response.json()["findings"]
    assert {
        "line": 2,
        "path": "event.user",
        "message": "expected an object, got a number",
        "hint": "",
        "kind": "error",
    } in (findings)


def test_only_files_in_the_static_folder_are_served(web_harness: WebHarness) -> None:
    for name in ("../pages.py", "..%2Fpages.py", "pages.py", ".", "missing.css"):
        assert call(web_harness, "GET", f"/static/{name}")[0] == 404


def test_an_event_with_lone_surrogates_is_run_and_shown(web_harness: WebHarness) -> None:
    body = b'{"user": {"email": "a\\ud800@example.com"}, "connection": {"name": "\\udfff"}}'
    assert request("POST", f"{web_harness.url}/api/runs", body=body).status == 200
    for path in ("/runs/2", "/runs/2/result", "/test?run=2", "/api/runs/2", "/api/runs/2/curl"):
        assert call(web_harness, "GET", path)[0] == 200, path


@pytest.mark.parametrize("path", ["/test?run=x", "/test?run=9", "/test?example=none", "/inbox/1?show=x", "/runs/x"])
def test_a_malformed_url_gets_a_response(web_harness: WebHarness, path: str) -> None:
    assert call(web_harness, "GET", path)[0] in (200, 404)
