"""The emulator's API: who may speak to it, what it answers, and that the documentation tells all of it."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
import urllib3

from emulator.cloud_run.process import SOURCE
from emulator.emulator import example
from tests.emulator.browser_page import Site

Answer = tuple[int, Any]


class Tags(HTMLParser):
    """What a policy without inline code would stop."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        inline = tag == "style" or (tag == "script" and "src" not in names)
        if inline or "style" in names or any(name.startswith("on") for name in names):
            self.wrong.append(self.get_starttag_text() or tag)


def ask(site: Site, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    answer = urllib3.request(method, site.url + path, json=body, headers=dict(headers or {}), redirect=False)
    is_json = answer.headers.get("Content-Type") == "application/json"
    return answer.status, answer.json() if is_json else answer.data.decode()


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
def test_a_page_from_elsewhere_gets_nothing(site: Site, path: str, headers: dict[str, str]) -> None:
    status, answer = ask(site, "GET", path, headers=headers)
    assert (status, set(answer)) == (403, {"error"})


def test_a_page_from_elsewhere_starts_no_run(site: Site) -> None:
    status, _ = ask(site, "POST", "/api/runs", example(), {"Origin": "https://attacker.example"})
    assert status == 403
    assert len(site.emulator.runs) == 1


def test_a_link_from_elsewhere_may_be_followed(site: Site) -> None:
    status, _ = ask(site, "GET", "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machines_own_names_are_taken(site: Site, host: str) -> None:
    status, _ = ask(site, "GET", "/", headers={"Host": f"{host}:8765", "Origin": f"http://{host}:8765"})
    assert status == 200


def test_every_answer_forbids_scripts_but_its_own(site: Site) -> None:
    for path in ("/", "/api", "/static/style.css", "/nowhere"):
        answer = urllib3.request("GET", site.url + path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_mails_html_has_a_policy_of_its_own_without_any_script(site: Site) -> None:
    number = site.emulator.sendgrid.inbox()[0].id
    policy = urllib3.request("GET", f"{site.url}/api/mails/{number}/html").headers["Content-Security-Policy"]
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert re.search(r"sandbox (?!.*allow-scripts)", policy)


def test_no_page_has_script_or_style_of_its_own(site: Site) -> None:
    for path in ("/", "/test", "/inbox", "/break", "/secrets", "/login", "/admin", "/runs/1/sheet"):
        status, html = ask(site, "GET", path)
        html = html if status == 200 else ask(site, "GET", f"/inbox/{site.emulator.sendgrid.inbox()[0].id}")[1]
        tags = Tags()
        tags.feed(html)
        assert tags.wrong == [], path


def test_nothing_changes_by_get(site: Site) -> None:
    _, index = ask(site, "GET", "/api")
    for row in index["api"]:
        if row["method"] == "POST" and row["path"] not in ("/api/runs", "/api/switches", "/api/queue"):
            path = re.sub(r"<[^>]+>", "1", row["path"])
            assert ask(site, "GET", path)[0] in (404, 405), path
    assert len(site.emulator.runs) == 1


def test_the_documentation_lists_every_method_with_the_same_words(site: Site) -> None:
    _, index = ask(site, "GET", "/api")
    rows = [f"| `{row['method']} {row['path']}` | {row['what']} |" for row in index["api"]]
    text = (SOURCE / "docs" / "emulator.md").read_text("utf-8")
    documented = re.findall(r"^\| `(?:GET|POST) /api.*$", text, re.MULTILINE)
    assert documented == rows


def test_a_run_is_answered_with_its_result_in_auth0s_shape_and_every_step(site: Site) -> None:
    status, run = ask(site, "POST", "/api/runs", example("full"))
    assert status == 200
    assert (run["number"], run["url"], run["status"]) == (2, "/runs/2", "success")
    assert set(run["result"]["payload"]) == {"stats"}
    assert [step["who"] for step in run["steps"]][:2] == ["Event", "Callout"]
    assert "Ditt lösenord har ändrats" in run["mail"]
    assert ask(site, "GET", "/api/runs/2") == (200, run)


def test_a_failed_run_has_name_message_and_stack(site: Site) -> None:
    ask(site, "POST", "/api/switches", {"part": "Callout", "name": "bad signature"})
    _, run = ask(site, "POST", "/api/runs/1/replay")
    assert run["status"] == "action_error"
    assert set(run["result"]["payload"]["error"]) == {"name", "message", "stack", "line"}
    assert run["kept"].startswith("Error sending email to j+smith@example.com: 401 invalid_signature")


@pytest.mark.parametrize("path", ["/api/runs/9", "/api/mails/9999", "/api/nothing", "/api/queue", "/api/runs/9/curl"])
def test_what_does_not_exist_is_told_as_json(site: Site, path: str) -> None:
    status, answer = ask(site, "GET", path)
    assert (status, list(answer)) == (404, ["error"])


@pytest.mark.parametrize("text", ["{", "[]", "1", "null", '"x"', "[" * 100_000])
def test_an_event_that_is_no_object_is_refused(site: Site, text: str) -> None:
    answer = urllib3.request("POST", f"{site.url}/api/runs", body=text.encode())
    assert answer.status == 400
    assert answer.json()["error"].startswith("the event is not")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/switches", {"part": "SendGrid", "name": "nonsense"}, "no switch"),
        ("/api/switches", {"name": "server error"}, "part: expected text"),
        ("/api/switches", {"part": "SendGrid", "name": "server error", "count": 0}, "count must be"),
        ("/api/switches", {"part": "SendGrid", "name": "server error", "count": True}, "count must be"),
        ("/api/secrets/sendgrid-api-key/versions", {"value": 3}, "value: expected text"),
        ("/api/secrets/a b/versions", {"value": "x" * 70_000}, "must not be larger"),
        ("/api/secrets/sendgrid-api-key/versions/1", {"enabled": "yes"}, "enabled: expected"),
        ("/api/secrets/unknown/rotate", {}, "has no other side"),
        ("/api/passwords/forgotten", {}, "email: expected text"),
        ("/api/passwords/forgotten", {"email": "nobody"}, "Enter an e-mail address"),
        ("/api/passwords/reset", {"ticket": "x", "password": "y" * 8, "again": "y" * 8, "place": "Tokyo"}, "was used"),
        ("/api/passwords/reset", {"ticket": "x", "password": "y", "again": "y", "place": "Atlantis"}, "no place"),
    ],
)
def test_a_request_that_cannot_be_done_says_why(site: Site, path: str, body: Any, told: str) -> None:
    status, answer = ask(site, "POST", path, body)
    assert status == 400
    assert told in answer["error"]


def test_the_state_says_what_is_broken_and_a_reset_ends_it(site: Site) -> None:
    ask(site, "POST", "/api/switches", {"part": "SendGrid", "name": "time-out", "count": None})
    _, state = ask(site, "GET", "/api/state")
    assert state["on"] == [{"part": "SendGrid", "name": "time-out", "count": None}]
    assert (state["runs"], state["mails"], state["faults"]) == (1, 1, [])
    ask(site, "POST", "/api/reset")
    _, state = ask(site, "GET", "/api/state")
    assert (state["on"], state["runs"], state["mails"]) == ([], 0, 0)


def test_what_happens_is_streamed_from_any_point_on(site: Site) -> None:
    pool = urllib3.PoolManager()
    answer = pool.request("GET", f"{site.url}/api/live?after=0", preload_content=False)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    kinds = []
    while "run.ended" not in kinds:
        line = answer.readline().decode()
        if line.startswith("data: "):
            kinds.append(json.loads(line[6:])["kind"])
    assert {"function.exchange", "sendgrid.mail", "auth0.execution"} <= set(kinds)
    answer.close()


def test_the_checks_of_an_event_come_with_lines(site: Site) -> None:
    answer = urllib3.request("POST", f"{site.url}/api/check", body=b'{\n"user": 3}')
    findings = answer.json()["findings"]
    assert {
        "line": 2,
        "path": "event.user",
        "message": "expected an object, got a number",
        "hint": "",
        "kind": "error",
    } in (findings)


def test_static_files_are_only_the_pages_own(site: Site) -> None:
    for name in ("../views.py", "..%2Fviews.py", "views.py", ".", "nothing.css"):
        assert ask(site, "GET", f"/static/{name}")[0] == 404


def test_an_event_with_half_a_character_is_run_and_shown(site: Site) -> None:
    body = b'{"user": {"email": "a\\ud800@example.com"}, "connection": {"name": "\\udfff"}}'
    assert urllib3.request("POST", f"{site.url}/api/runs", body=body).status == 200
    for path in ("/", "/runs/2", "/runs/2/result", "/test?run=2", "/api/runs/2", "/api/runs/2/curl"):
        assert ask(site, "GET", path)[0] == 200, path


@pytest.mark.parametrize("path", ["/test?run=x", "/test?run=9", "/test?example=none", "/inbox/1?show=x", "/runs/x"])
def test_an_address_that_makes_no_sense_is_answered(site: Site, path: str) -> None:
    assert ask(site, "GET", path)[0] in (200, 404)
