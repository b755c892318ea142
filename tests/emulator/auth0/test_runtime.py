"""The Auth0 emulator, with small Actions on Node.js."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

import emulator.auth0.runtime
from emulator.auth0.runtime import Execution, FakeAuth0
from emulator.core.journal import Journal
from emulator.core.server import Server

ROOT = Path(__file__).parents[3]
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {"tenant": {"id": "acme"}, "connection": {"name": "customers"}, "user": {"email": "ada@example.com"}}
STATS = {
    "total_request_duration_ms",
    "total_runtime_execution_duration_ms",
    "runtime_processing_duration_ms",
    "action_duration_ms",
    "runtime_external_call_duration_ms",
    "boot_duration_ms",
    "network_duration_ms",
}

Start = Callable[..., FakeAuth0]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def start(tmp_path: Path, journal: Journal) -> Iterator[Start]:
    """Start Auth0 with a module or with the body of a handler."""
    started: list[FakeAuth0] = []

    def starter(body: str = "", *, module: str = "", **options: Any) -> FakeAuth0:
        code = tmp_path / f"code{len(started)}.js"
        code.write_text(module or handler(body), "utf-8")
        secrets = options.pop("secrets", {"CALLOUT_SIGNING_KEY": KEY})
        started.append(FakeAuth0(code, journal, secrets, **options))
        return started[-1].__enter__()

    yield starter
    for auth0 in started:
        auth0.__exit__(None, None, None)


class Target(Server):
    """Respond to /callout as the function does, and to other paths with the request; block /wait until `released`."""

    def __init__(self) -> None:
        self.released = threading.Event()
        super().__init__("target", self._app, Journal())

    def _app(self, environ: dict[str, Any], respond: Any) -> Any:
        request = Request(environ)
        if request.path == "/wait":
            self.journal.record("waiting")
            self.released.wait(20)
        text = f"{request.method} {request.get_data(as_text=True)}"
        response = json.dumps({"id": request.headers["webhook-id"]}) if request.path == "/callout" else text
        return Response(response)(environ, respond)


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as server:
        yield server
        server.released.set()


def handler(body: str) -> str:
    return f"exports.onExecutePostChangePassword = async (event, api) => {{ {body} }};\n"


def texts(execution: Execution) -> list[str]:
    return [line["text"] for line in execution.logs]


def error(execution: Execution) -> Any:
    assert execution.error is not None
    return execution.error


# The arguments of an Action


def test_passes_the_event_with_the_secrets_and_only_a_cache(start: Start) -> None:
    execution = start("console.log(JSON.stringify([event, Object.keys(api)]))", secrets={"A": "b"}).run(EVENT)
    assert json.loads(execution.kept) == [{**EVENT, "secrets": {"A": "b"}}, ["cache"]]
    assert (execution.status, execution.error) == ("success", None)


def test_replaces_secrets_in_the_event(start: Start) -> None:
    execution = start("console.log(JSON.stringify(event.secrets))", secrets={"A": "b"}).run({"secrets": {"C": "d"}})
    assert execution.kept == '{"A":"b"}'


def test_passes_each_execution_a_new_copy_of_the_event(start: Start) -> None:
    auth0 = start("event.user.n = (event.user.n ?? 0) + 1; event.secrets.A += 'x'; console.log(event.user.n)")
    assert [auth0.run(EVENT).kept, auth0.run(EVENT).kept] == ["1", "1"]
    assert "n" not in EVENT["user"]


def test_uses_changed_secrets_at_the_next_execution(start: Start) -> None:
    auth0 = start("console.log(event.secrets.A)", secrets={"A": "old"})
    auth0.run(EVENT)
    auth0.secrets["A"] = "new"
    assert auth0.run(EVENT).kept == "new"


def test_hides_this_machines_environment_from_the_action(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "secret")
    assert start("console.log(JSON.stringify(process.env))").run(EVENT).kept == '{"TZ":"UTC"}'


def test_rejects_an_event_that_is_not_json(start: Start) -> None:
    auth0 = start()
    with pytest.raises(ValueError, match="not JSON compliant"):
        auth0.run({"user": float("nan")})
    assert auth0.run(EVENT).status == "success"


# The module


def test_evaluates_the_module_once_and_lazily(start: Start) -> None:
    auth0 = start(module="let n = 0; console.log('top');" + handler("console.log(++n)"))
    assert [texts(auth0.run(EVENT)), texts(auth0.run(EVENT))] == [["top", "1"], ["2"]]


def test_reports_an_error_in_the_module_at_each_execution(start: Start) -> None:
    auth0 = start(module="console.log('top');\nthrow new TypeError('at the top');")
    first, second = auth0.run(EVENT), auth0.run(EVENT)
    assert (error(first)["name"], error(first)["message"], error(first)["line"]) == ("TypeError", "at the top", 2)
    assert error(second) == error(first)
    assert (texts(first), texts(second)) == (["top"], [])


@pytest.mark.parametrize(
    "module",
    [
        "exports.onExecutePostChangePassword = (event) => Promise.resolve();",
        "exports.onExecutePostChangePassword = function* () {};",
        "exports.onExecutePostLogin = async () => {};",
        "",
    ],
)
def test_rejects_a_handler_that_is_not_an_async_function(start: Start, module: str) -> None:
    execution = start(module=module or "// nothing\n").run(EVENT)
    message = 'Invalid function signature for the "onExecutePostChangePassword" handler.'
    assert error(execution)["message"].startswith(message)


def test_rejects_a_module_that_does_not_export_an_object(start: Start) -> None:
    assert "must export an object" in error(start(module="module.exports = 1;").run(EVENT))["message"]


def test_supports_module_exports_and_node_modules(start: Start) -> None:
    module = """
    const crypto = require('crypto');
    module.exports = { async onExecutePostChangePassword() { crypto.randomBytes(1); } };
    """
    assert start(module=module).run(EVENT).status == "success"


def test_reports_the_file_and_line_of_a_syntax_error(start: Start) -> None:
    execution = start(module="const a = 1;\nconst b = ;\n").run(EVENT)
    assert (error(execution)["name"], error(execution)["line"]) == ("SyntaxError", 2)
    assert error(execution)["stack"].startswith("code0.js:2\nconst b = ;\n")


def test_reports_a_missing_file(start: Start) -> None:
    auth0 = start()
    auth0.code.unlink()
    assert "ENOENT" in error(auth0.run(EVENT))["message"]


def test_uses_a_changed_file_at_the_next_execution(start: Start) -> None:
    auth0 = start("console.log('old')")
    auth0.run(EVENT)
    for body in ("console.log('new')", "console.log(", "console.log('fixed')"):
        auth0.code.write_text(handler(body), "utf-8")
        os.utime(auth0.code, ns=(0, auth0.code.stat().st_mtime_ns + 1))
        last = auth0.run(EVENT)
    assert last.kept == "fixed"


def test_reuses_the_instance_until_the_file_changes(start: Start) -> None:
    auth0 = start("console.log(process.pid)")
    first, second = auth0.run(EVENT), auth0.run(EVENT)
    assert first.kept == second.kept
    assert first.stats["boot_duration_ms"] > second.stats["boot_duration_ms"] == 0


# Errors


def test_reports_an_error_in_the_handler_with_its_line_and_without_runtime_frames(start: Start) -> None:
    execution = start("\n\nthrow new RangeError('too far');").run(EVENT)
    assert (execution.status, error(execution)["name"], error(execution)["message"]) == (
        "action_error",
        "RangeError",
        "too far",
    )
    assert error(execution)["line"] == 3
    assert "(code0.js:3:" in error(execution)["stack"]
    assert "runtime.js" not in error(execution)["stack"]


@pytest.mark.parametrize(
    ("thrown", "message"),
    [
        ("'text'", "text"),
        ("null", "Unknown error"),
        ("undefined", "Unknown error"),
        ("Object.create(null)", "[Object: null prototype] {}"),
    ],
)
def test_reports_a_thrown_value_that_is_not_an_error(start: Start, thrown: str, message: str) -> None:
    assert error(start(f"throw {thrown}").run(EVENT))["message"] == message


def test_reports_unhandled_errors_and_continues(start: Start, journal: Journal) -> None:
    body = """
    console.log(process.pid);
    setImmediate(() => { throw new Error('in a callback'); });
    Promise.reject(new TypeError('unhandled'));
    await new Promise((done) => setTimeout(done, 5));
    """
    auth0 = start(body)
    first, second = auth0.run(EVENT), auth0.run(EVENT)
    assert first.status == second.status == "success"
    assert texts(first)[0] == texts(second)[0]  # the process
    assert {line.splitlines()[0] for line in texts(first)[1:]} == {
        "Uncaught TypeError: unhandled",
        "Uncaught Error: in a callback",
    }
    reports = [(entry.data["id"], entry.data["error"]["message"]) for entry in journal.entries(kind="auth0.uncaught")]
    expected = [(run.id, message) for run in (first, second) for message in ("in a callback", "unhandled")]
    assert sorted(reports) == sorted(expected)


def test_reports_an_instance_that_exited_and_starts_another(start: Start) -> None:
    auth0 = start("if (event.end) process.exit(3); console.log('on')")
    execution = auth0.run({"end": True})
    assert execution.status == "platform_error"
    assert "exit status 3" in error(execution)["message"]
    assert set(execution.stats) == STATS
    assert auth0.run(EVENT).kept == "on"


# Time


def test_ends_an_execution_after_its_timeout_and_starts_a_new_instance(start: Start) -> None:
    auth0 = start("console.log(process.pid); if (event.hang) await new Promise(() => {})", timeout=0.1)
    late = auth0.run({"hang": True})
    auth0.timeout = 20.0
    assert late.status == "action_timeout"
    assert "0.1 seconds" in error(late)["message"]
    assert texts(late) != texts(auth0.run(EVENT))


def test_ends_an_execution_that_blocks_its_instance(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.auth0.runtime, "GRACE_SECONDS", 0.2)
    auth0 = start("while (event.loop); console.log('on')", timeout=0.3)
    stuck = auth0.run({"loop": True, "padding": "x" * 200_000})
    assert (stuck.status, set(stuck.stats)) == ("action_timeout", STATS)
    auth0.timeout = 20.0
    assert auth0.run(EVENT).kept == "on"


def test_completes_other_executions_after_a_timeout(start: Start, target: Target) -> None:
    body = f"if (event.hang) await new Promise(() => {{}}); await fetch('{target.url}/wait'); console.log('on')"
    auth0 = start(body)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(auth0.run, EVENT)
        target.journal.wait(lambda entry: entry.kind == "waiting", timeout=20)
        auth0.timeout = 0.1
        assert auth0.run({"hang": True}).status == "action_timeout"
        target.released.set()
        assert other.result(20).kept == "on"


def test_durations_add_up_as_in_auth0s_test_panel(start: Start, target: Target) -> None:
    stats = start(f"await fetch('{target.url}/')").run(EVENT).stats
    assert set(stats) == STATS
    assert (
        stats["total_request_duration_ms"]
        == stats["total_runtime_execution_duration_ms"] + stats["network_duration_ms"]
    )
    parts = ("runtime_processing_duration_ms", "action_duration_ms", "runtime_external_call_duration_ms")
    assert stats["total_runtime_execution_duration_ms"] == sum(stats[part] for part in parts)
    assert all(isinstance(value, int) and value >= 0 for value in stats.values())


# The console


def test_collects_each_level_with_its_text(start: Start) -> None:
    levels = ["log", "info", "warn", "error", "debug", "trace"]
    body = "".join(f"console.{level}('%s is', '{level}', {{ a: 1 }});" for level in levels)
    assert [dict(line) for line in start(body).run(EVENT).logs] == [
        {"level": level, "text": f"{level} is {{ a: 1 }}"} for level in levels
    ]


def test_collects_output_that_bypasses_the_console(start: Start) -> None:
    body = """
    process.stdout.write('{"run":"' + 'half a line');
    process.stderr.write(Buffer.from('bytes\\n'), () => {});
    console.table([{ a: 1 }]);
    require('fs').writeSync(1, '{"uncaught":');
    """
    execution = start(body).run(EVENT)
    assert (execution.status, texts(execution)[:2]) == ("success", ['{"run":"half a line', "bytes"])
    assert "(index)" in texts(execution)[2]


def test_keeps_256_characters_of_the_output_and_shows_all_of_it(start: Start) -> None:
    execution = start("console.log('a'.repeat(200)); console.log('b'.repeat(200))").run(EVENT)
    assert execution.kept == "a" * 200 + "\n" + "b" * 55
    assert texts(execution) == ["a" * 200, "b" * 200]


def test_collects_no_more_than_256_kilobytes(start: Start) -> None:
    execution = start("for (let n = 0; n < 10; n++) console.log('x'.repeat(100_000))").run(EVENT)
    assert [len(text) for text in texts(execution)] == [100_000, 100_000, 62_142]


def test_drops_output_after_the_handler_has_resolved(start: Start) -> None:
    auth0 = start(
        "setImmediate(() => console.log('late')); console.log('now'); if (event.more) await new Promise(setImmediate)"
    )
    assert texts(auth0.run(EVENT)) == ["now"]
    assert texts(auth0.run({"more": True})) == ["now", "late"]


def test_preserves_any_text(start: Start) -> None:
    execution = start(r"console.log('\u2028 å😀 \ud83d \0')").run(EVENT)
    assert execution.kept == "\u2028 å😀 \ufffd \0"


# fetch


def test_shows_each_fetch_with_request_status_and_duration(start: Start, target: Target) -> None:
    body = f"""
    await fetch('{target.url}/a', {{ method: 'POST', headers: {{ 'webhook-id': 'msg_1' }}, body: 'text' }});
    await fetch(new Request('{target.url}/b'), {{ signal: AbortSignal.timeout(9000) }});
    """
    first, second = start(body).run(EVENT).fetches
    assert (first["url"], first["method"], first["body"], first["status"]) == (f"{target.url}/a", "POST", "text", 200)
    assert ["webhook-id", "msg_1"] in first["headers"]
    assert (second["url"], second["method"], second["body"]) == (f"{target.url}/b", "GET", "")
    assert isinstance(first["duration_ms"], int)


def test_does_not_change_a_fetch(start: Start, target: Target) -> None:
    body = f"""
    const stream = new Blob(['streamed']).stream();
    const response = await fetch('{target.url}/', {{ method: 'POST', body: stream, duplex: 'half' }});
    console.log(response.status, await response.text());
    """
    execution = start(body).run(EVENT)
    assert execution.kept == "200 POST streamed"
    assert execution.fetches[0]["body"] == "(a stream)"


def test_shows_a_failed_fetch(start: Start) -> None:
    body = "for (const url of ['http://127.0.0.1:1/', 'nonsense']) await fetch(url).catch(() => {});"
    execution = start(body).run(EVENT)
    assert [(call["url"], call["status"]) for call in execution.fetches] == [
        ("http://127.0.0.1:1/", 0),
        ("nonsense", 0),
    ]
    assert "bad port" in execution.fetches[0]["error"]
    assert "URL" in execution.fetches[1]["error"]


def test_separates_concurrent_executions(start: Start, target: Target) -> None:
    body = f"""
    console.log('before', event.n);
    await fetch('{target.url}/wait?n=' + event.n);
    console.log('after', event.n);
    """
    auth0 = start(body)
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(auth0.run, {"n": n}) for n in range(8)]
        for n in range(8):
            target.journal.wait(lambda entry: entry.kind == "waiting", after=n, timeout=20)
        target.released.set()
        executions = [run.result(20) for run in runs]
    for n, execution in enumerate(executions):
        assert texts(execution) == [f"before {n}", f"after {n}"]
        assert [call["url"] for call in execution.fetches] == [f"{target.url}/wait?n={n}"]
    assert len({execution.id for execution in executions}) == 8


# api.cache

LIMITS = [
    ("api.cache.set('k'.repeat(64), 'v')", None),
    ("api.cache.set('k'.repeat(65), 'v')", "CacheKeySizeExceeded"),
    ("api.cache.set('å'.repeat(33), 'v')", "CacheKeySizeExceeded"),
    ("api.cache.set('k', 'v'.repeat(4096))", None),
    ("api.cache.set('k', 'v'.repeat(4097))", "CacheValueSizeExceeded"),
    ("(api.cache.set('a', 'v'.repeat(4095)), api.cache.set('b', 'v'.repeat(4095)))", None),
    ("(api.cache.set('a', 'v'.repeat(4095)), api.cache.set('b', 'v'.repeat(4096)))", "CacheSizeExceeded"),
    ("(api.cache.set('a', 'v'.repeat(4096)), api.cache.set('a', 'w'.repeat(4096)))", None),
    ("[...Array(20).keys()].map((n) => api.cache.set('k' + n, 'v')).pop()", None),
    ("[...Array(21).keys()].map((n) => api.cache.set('k' + n, 'v')).pop()", "MaxSideEffectsExceeded"),
    ("api.cache.set('k', 'v', { ttl: 0 })", "ItemAlreadyExpired"),
    ("api.cache.set('k', 'v', { expires_at: Date.now() - 1 })", "ItemAlreadyExpired"),
    ("api.cache.set('k', 'v', { ttl: NaN })", "InvalidExpiry"),
    ("api.cache.set('k', 'v', { ttl: '60' })", "InvalidExpiry"),
    ("api.cache.set('k', 'v', { expires_at: Infinity })", "InvalidExpiry"),
    ("api.cache.delete('k')", "CacheKeyDoesNotExist"),
    ("(api.cache.set('k', 'v'), api.cache.delete('k'))", None),
]


@pytest.mark.parametrize(("call", "code"), LIMITS)
def test_enforces_auth0s_cache_limits(start: Start, call: str, code: str | None) -> None:
    result = json.loads(start(f"console.log(JSON.stringify({{ ...{call}, record: 0 }}))").run(EVENT).kept)
    assert (result["type"], result.get("code")) == (("error", code) if code else ("success", None))


@pytest.mark.parametrize(
    ("options", "milliseconds"),
    [
        ("undefined", 900_000),
        ("{ ttl: 1000 }", 1000),
        ("{ expires_at: 5000 + Date.now() }", 5000),
        ("{ ttl: 1000, expires_at: 5000 + Date.now() }", 1000),
        ("{ ttl: 1e12 }", 86_400_000),
    ],
)
def test_caches_a_value_for_15_minutes_unless_specified(start: Start, options: str, milliseconds: int) -> None:
    body = f"Date.now = () => 1000; api.cache.set('k', 'v', {options}); console.log(JSON.stringify(api.cache.get('k')))"
    assert json.loads(start(body).run(EVENT).kept) == {"value": "v", "expires_at": 1000 + milliseconds}


def test_shares_a_cached_value_between_executions_until_it_expires(start: Start) -> None:
    auth0 = start(
        "Date.now = () => event.now; console.log(api.cache.get('k')?.value); api.cache.set('k', 'v', { ttl: 10 })"
    )
    assert [auth0.run({"now": now}).kept for now in (1000, 1009, 1019)] == ["undefined", "v", "undefined"]


# The journal


def test_records_an_execution_and_the_tenant_log(start: Start, journal: Journal) -> None:
    execution = start("console.log('done')").run({**EVENT, "secrets": {"OLD": "value"}})
    record, log = journal.entries(kind="auth0")
    assert (record.kind, record.data["id"], record.data["status"]) == ("auth0.execution", execution.id, "success")
    assert (record.data["kept"], record.data["event"], record.data["action"]) == ("done", EVENT, "code0.js")
    assert (log.kind, log.data["type"], log.data["tenant_name"]) == ("auth0.log", "scp", "acme")
    assert log.data["details"]["email"] == "ada@example.com"
    json.dumps([record.data, log.data])


def test_records_a_failed_execution_as_auth0_does(start: Start, journal: Journal) -> None:
    execution = start("throw new Error('no')").run(EVENT)
    change, log = journal.entries(kind="auth0.log")
    assert (change.data["type"], log.data["type"]) == ("scp", "actions_execution_failed")
    assert change.data["date"] <= log.data["date"]
    assert log.data["details"]["execution_id"] == execution.id
    assert log.data["details"]["error_class"] == "action_error"
    assert log.data["details"]["action_error"]["message"] == "no"


@pytest.mark.parametrize("event", [{}, {"user": None, "tenant": 1, "connection": [], "request": "x"}])
def test_accepts_any_json_object_as_an_event(start: Start, journal: Journal, event: dict[str, Any]) -> None:
    assert start().run(event).status == "success"
    assert journal.entries(kind="auth0.log")[0].data["tenant_name"] == ""


def test_masks_secrets_but_shows_urls(start: Start, journal: Journal, target: Target) -> None:
    secrets = {"CALLOUT_SIGNING_KEY": f"{KEY}\n{KEY[::-1]}", "FUNCTION_URL": target.url}
    body = """
    const { CALLOUT_SIGNING_KEY: keys, FUNCTION_URL: url } = event.secrets;
    console.log(keys, keys.slice(6));
    await fetch(url, { headers: { authorization: 'Bearer ' + keys.split('\\n')[0] } });
    Promise.reject(new Error(keys));
    await new Promise(setImmediate);
    throw new Error(keys);
    """
    execution = start(body, secrets=secrets).run(EVENT)
    recorded = json.dumps([entry.data for entry in journal.entries(kind="auth0")]) + repr(execution)
    assert KEY[6:] not in recorded
    assert KEY[::-1] not in recorded
    assert execution.fetches[0]["url"] == f"{target.url}/"


# The forwarder Action


def test_runs_the_forwarder_action(journal: Journal, target: Target) -> None:
    secrets = {"FUNCTION_URL": f"{target.url}/callout", "CALLOUT_SIGNING_KEY": KEY}
    with FakeAuth0(ROOT / "auth0" / "action.js", journal, secrets) as auth0:
        execution = auth0.run(EVENT)
    (call,) = execution.fetches
    assert (execution.status, texts(execution), call["status"]) == ("success", [], 200)
    assert json.loads(call["body"])["event"] == EVENT
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {name for name, _ in call["headers"]}


def test_an_action_can_import_modules_dynamically(start: Start, tmp_path: Path) -> None:
    (tmp_path / "helper.mjs").write_text("export const name = 'helper';", "utf-8")
    body = """
        const { createHmac } = await import('node:crypto');
        const { name } = await import('./helper.mjs');
        console.log(typeof createHmac, name);
    """
    execution = start(body).run(EVENT)
    assert (execution.error, execution.kept) == (None, "function helper")
