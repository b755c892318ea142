"""Run the forwarder Action on Node.js as Auth0's runtime does, and record it in the tenant's log."""

import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self, cast

from emulator.auth0 import tenant_log
from emulator.core.child import Child
from emulator.core.journal import Journal
from emulator.core.node import node

Json = dict[str, Any]
ErrorClass = Literal["action_error", "action_timeout", "platform_error"]
Status = Literal["running", "success"] | ErrorClass

RUNTIME = Path(__file__).with_suffix(".js")
TRIGGER_TIMEOUT_SECONDS = 20.0  # Auth0's limit for all Actions of a trigger
GRACE_SECONDS = 2.0  # after its timeout, until an instance that hasn't responded is killed


@dataclass(frozen=True)
class Execution:
    """One execution of the Action.

    `status` is `running`, `success`, or the error class in Auth0's log. `error` has name, message, stack, and line (in
    the Action's file, or None). `logs` are complete lines (level, text); `kept` is the part of them that Auth0 keeps.
    `fetches` are the Action's requests (url, method, headers as pairs, body, status or 0, error, started in Unix
    seconds, duration_ms). `stats` are integer milliseconds, named as in the response of Auth0's Test panel. All secrets
    are masked, except URLs.
    """

    id: str
    status: Status
    error: Mapping[str, Any] | None = None
    logs: tuple[Mapping[str, str], ...] = ()
    kept: str = ""
    fetches: tuple[Mapping[str, Any], ...] = ()
    stats: Mapping[str, int] = field(default_factory=dict)


class FakeAuth0:
    """The fake Auth0, a context manager that runs the Action in the file `code`; `run` is thread-safe.

    The first execution starts an instance of the runtime. It is replaced if the file changes, if it exits, or if an
    execution exceeds `timeout` seconds. `secrets` are the Action's secrets and can be changed at any time. `log` is the
    tenant's log.
    """

    def __init__(
        self, code: Path, journal: Journal, secrets: dict[str, str], *, timeout: float = TRIGGER_TIMEOUT_SECONDS
    ) -> None:
        self.code, self.journal, self.secrets, self.timeout = code, journal, secrets, timeout
        self.log = tenant_log.TenantLog()
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

    def run(self, event: Mapping[str, Any], execution_id: str = "") -> Execution:
        """Run the Action with `event`; the result contains a failure of the Action.

        The Action's requests to its secret FUNCTION_URL also have the header X-Emulator-Execution, with the execution's
        ID. Raise ValueError or TypeError if the event can't be encoded as JSON.
        """
        run, secrets, started = execution_id or uuid.uuid4().hex, dict(self.secrets), time.time()
        response = self._execute({"run": run, "event": event, "secrets": secrets, "timeout": self.timeout * 1000})
        execution = _execution(run, _mask(response, secrets))
        sent = {name: value for name, value in event.items() if name != "secrets"}
        self.journal.record("auth0.execution", action=self.code.name, started=started, event=sent, **asdict(execution))
        for record in _log_records(event, execution, self.code.name, started):
            self.journal.record("auth0.log", execution=run, **self.log.add(record))
        return execution

    def _execute(self, request: Json) -> Json:
        started = time.time()
        instance, future = self._expect(request["run"])
        response = instance.request({**request, "sent": started * 1000}, future, self.timeout + GRACE_SECONDS)
        if response.get("error_class") in ("action_timeout", "platform_error"):
            self._replace(instance)  # it could interfere with the next execution
        return {"stats": _stats(round((time.time() - started) * 1000)), **response}

    def _expect(self, run: str) -> "tuple[_Instance, Future[Json]]":
        """Return the instance for this execution, and the future of its response."""
        with self._lock:
            if self._instance is not None and self._instance.version != _version(self.code):
                self._instance.retire()
                self._instance = None
            if self._instance is None or self._instance.has_ended:
                self._instances = [instance for instance in self._instances if not instance.has_ended]
                self._instance = _Instance(self.code, self._record_uncaught)
                self._instances.append(self._instance)
            return self._instance, self._instance.expect(run)

    def _replace(self, instance: "_Instance") -> None:
        with self._lock:
            instance.retire()
            if self._instance is instance:
                self._instance = None

    def _record_uncaught(self, message: Json) -> None:
        message = _mask(message, dict(self.secrets))
        self.journal.record("auth0.uncaught", id=message.get("run"), action=self.code.name, error=message["uncaught"])


class _Instance:
    """A Node.js process that runs the Action: concurrent executions, each with a response on one line."""

    def __init__(self, code: Path, on_uncaught: Callable[[Json], None]) -> None:
        self.version, self.has_ended, self._is_retired = _version(code), False, False
        self._on_uncaught = on_uncaught
        self._waiting: dict[str, Future[Json]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed after the process has exited)
        self._process: Child[bytes] = Child(
            [node(), "--disable-warning=ExperimentalWarning", RUNTIME, code],  # of the loader for import()
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
        )
        # Never None, because both are pipes.
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._reader = threading.Thread(target=self._read, name="auth0", daemon=True)
        self._reader.start()

    def expect(self, run: str) -> Future[Json]:
        future: Future[Json] = Future()
        with self._lock:
            self._waiting[run] = future
            if self.has_ended:
                future.set_result(_ended(self._process.returncode))
        return future

    def request(self, request: Json, future: Future[Json], timeout: float) -> Json:
        """Return the response, or action_timeout after `timeout` seconds, or platform_error if the process exited."""
        started = time.monotonic()
        watchdog = threading.Timer(timeout, self._process.kill)
        watchdog.start()
        try:
            self._write(request)
            response = future.result()
        finally:
            watchdog.cancel()
            self._forget(request["run"])
        if time.monotonic() - started < timeout or "run" in response:
            return response
        message = f"The Action blocked its instance for longer than {request['timeout'] / 1000:g} seconds."
        return _failure("action_timeout", message)

    def retire(self) -> None:
        """Kill the process after its current executions have ended."""
        with self._lock:
            self._is_retired = True
        self._forget("")

    def kill(self) -> None:
        self._process.kill()
        self._reader.join()

    def _forget(self, run: str) -> None:
        with self._lock:
            self._waiting.pop(run, None)
            if self._is_retired and not self._waiting:
                self._process.kill()

    def _write(self, request: Json) -> None:
        with suppress(OSError), self._writing:  # if the process has exited, the reader reports it
            if not self._stdin.closed:
                self._stdin.write(json.dumps(request, allow_nan=False).encode() + b"\n")
                self._stdin.flush()

    def _read(self) -> None:
        for line in self._stdout:
            message = _message(line)
            if "uncaught" in message:
                self._on_uncaught(message)
                continue
            with self._lock:
                future = self._waiting.pop(str(message.get("run")), None)
            if future is not None:
                future.set_result(message)
        self._handle_exit()

    def _handle_exit(self) -> None:
        """Report the exit of the process to all waiting executions."""
        self._process.wait()
        with self._lock:
            self.has_ended = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self._stderr.seek(0)
        failure = _ended(self._process.returncode, self._stderr.read().decode("utf-8", "replace"))
        for future in waiting:
            future.set_result(failure)
        self._close()

    def _close(self) -> None:
        self._stdout.close()
        self._stderr.close()
        with suppress(OSError), self._writing:  # unsent data is lost
            self._stdin.close()


def _environment() -> dict[str, str]:
    """Return the environment of the process, without this machine's variables, as in Auth0."""
    needed = ("SYSTEMROOT",)  # required to start a process on Windows
    return {"TZ": "UTC"} | {name: os.environ[name] for name in needed if name in os.environ}


def _version(code: Path) -> tuple[int, int]:
    try:
        stat = code.stat()
    except OSError:  # the instance reports it as the error of an execution
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)


def _message(line: bytes) -> Json:
    """Parse a line written by runtime.js; return an empty object for any other line."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _ended(status: int, stderr: str = "") -> Json:
    return _failure(
        "platform_error", f"The instance exited while the Action was running (exit status {status}).", stderr[-2000:]
    )


def _failure(error_class: ErrorClass, message: str, stack: str = "") -> Json:
    return {"error": {"name": "Error", "message": message, "stack": stack, "line": None}, "error_class": error_class}


def _stats(milliseconds: int) -> dict[str, int]:
    """Return the durations of an execution whose instance exited before reporting them."""
    known = ("total_request", "total_runtime_execution", "action")
    unknown = ("runtime_processing", "runtime_external_call", "boot", "network")
    return {f"{name}_duration_ms": milliseconds if name in known else 0 for name in known + unknown}


def _execution(run: str, response: Json) -> Execution:
    return Execution(
        id=run,
        status=response.get("error_class") or "success",
        error=response["error"],
        logs=tuple(response.get("logs", ())),
        kept=response.get("kept", ""),
        fetches=tuple(response.get("fetches", ())),
        stats=response["stats"],
    )


def _mask(value: Any, secrets: Mapping[str, str]) -> Any:
    """Mask each secret in a JSON value; URLs stay readable, because they identify the target of a fetch."""
    words = {
        word for secret in secrets.values() for word in secret.split() if not word.startswith(("http://", "https://"))
    }
    keys = sorted((word for word in words | {word.removeprefix("whsec_") for word in words} if len(word) > 7), key=len)

    def mask(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: mask(field) for name, field in part.items()}
        if isinstance(part, list):
            return [mask(item) for item in part]
        if isinstance(part, str):
            for key in reversed(keys):
                part = part.replace(key, f"{key[:6]}…")
        return part

    return mask(value)


def _log_records(event: Mapping[str, Any], execution: Execution, action: str, started: float) -> Iterator[Json]:
    """Yield the records in the tenant's log: the change, and the failure if the Action failed."""
    yield tenant_log.change(event, started)
    if execution.error is not None:
        details = {"execution_id": execution.id, "error_class": execution.status, "action_error": execution.error}
        yield tenant_log.failure(event, time.time(), action, details)
