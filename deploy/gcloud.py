"""Run gcloud: reads that have three outcomes, and writes that are printed before they run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]

# How gcloud reports that a resource doesn't exist: Cloud Run's commands, then all others.
ABSENT = re.compile(r"ERROR: \(gcloud[\w.-]*\) (Cannot find (service|revision) \[|NOT_FOUND: )")
# An API that was just enabled.
DISABLED = re.compile(r"SERVICE_DISABLED|has not been used in project .* before or it is disabled")
# How gcloud reports that a new account, grant, or metric, or a newly enabled API hasn't propagated yet.
PROPAGATION = re.compile(
    rf"{DISABLED.pattern}|PERMISSION_DENIED|permission.* denied|does not have .*(access|permission)"
    "|missing .*permission|service account .*does not exist|Unknown service account|Cannot find metric",
    re.IGNORECASE,
)
READ_TIMEOUT_SECONDS = 120.0
BACKOFFS = (1, 2, 4, 8)  # times PAUSE seconds: 75 s, since a grant takes about a minute


class DeployError(Exception):
    """An error that stops a command. The message says what happened, and the details, one per line, what to do."""

    def __init__(self, message: str, *details: str) -> None:
        super().__init__("\n  ".join((message, *details)))


class UnknownError(DeployError):
    """A read whose result is neither a value nor "not found": nothing can be concluded from it."""

    def __init__(self, command: str, cause: str) -> None:
        super().__init__(f"can't read the current state: {command}", cause, "nothing more was changed")
        self.cause = cause
        # Google rejected the read because of permissions or an API that isn't enabled.
        self.is_denied = "PERMISSION_DENIED" in cause or "does not have permission to access" in cause


class Gcloud:
    """gcloud for one project. With `dry_run` nothing is read (as in a new project) and writes are only printed."""

    def __init__(self, project: str = "", *, dry_run: bool = False) -> None:
        self.project, self.dry_run = project, dry_run
        self.enabled_apis = False  # in this run; reads may fail until that has propagated

    @cached_property
    def account(self) -> str:
        """Return the signed-in account's address; empty if gcloud has only a token."""
        return self.read_property("account")

    @cached_property
    def token(self) -> str:
        """Return an access token of the signed-in account."""
        try:
            return self.read_existing("auth", "print-access-token", parse=lambda found: text(found["token"]))
        except UnknownError as error:
            if "does not have any valid credentials" in error.cause or "active account" in error.cause:
                raise DeployError("not signed in: gcloud auth login", error.cause) from None
            raise

    def read_property(self, name: str) -> str:
        """Return a value of gcloud's own configuration; gcloud prints an empty list for one that isn't set."""
        return self.read_existing("config", "get", name, parse=lambda found: "" if found == [] else text(found))

    def read(self, *words: str, parse: Callable[[Any], T]) -> T | None:
        """Return what `parse` extracts from gcloud's JSON, or None if gcloud reports that the resource doesn't exist.

        Raise UnknownError for any other result, and for output that `parse` can't use.
        """
        if self.dry_run:
            return None
        if shutil.which("gcloud") is None:
            raise DeployError("gcloud isn't installed: https://cloud.google.com/sdk/docs/install")
        command = self._command(words)
        done = _retry(lambda: _run_read(command), DISABLED) if self.enabled_apis else _run_read(command)
        if done.returncode and ABSENT.match(done.stderr):
            return None
        return _parse(words, done, parse)

    def read_existing(self, *words: str, parse: Callable[[Any], T]) -> T:
        """Read something that always exists. Raise UnknownError also if gcloud reports that it doesn't."""
        found = self.read(*words, parse=parse)
        if found is None:
            raise UnknownError(command_line(words), "gcloud reports that it doesn't exist")
        return found

    def read_list(self, *words: str, parse: Callable[[Any], T]) -> list[T]:
        """Return what `parse` takes from each item of a list, which always exists."""
        return self.read_existing(*words, parse=lambda found: [parse(each) for each in items(found)])

    def write(self, *words: str, value: str | None = None) -> None:
        """Print the command, and run it with `value` as its input; retry while a new grant hasn't propagated.

        Raise DeployError if it fails.
        """
        command = self._command(words)
        print(command_line(command), file=sys.stdout if self.dry_run else sys.stderr, flush=True)
        if self.dry_run:
            return
        done = _retry(lambda: _run_write(command, value), PROPAGATION)
        if done.returncode:
            cause = done.stderr.strip() or f"gcloud ended with status {done.returncode}"
            raise DeployError(f"this command failed: {command_line(words)}", cause, "fix the cause, and run it again")

    def write_file(self, *words: str, flag: str, content: str) -> None:
        """Write, with a flag that names a file of this content."""
        with temporary_file(content) as path:
            self.write(*words, f"{flag}={path}")

    def say(self, *lines: str) -> None:
        """Print progress for the user, except in a dry run."""
        if not self.dry_run:
            print(*lines, sep="\n", file=sys.stderr, flush=True)

    def _command(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return (*words, *([f"--project={self.project}"] if self.project else []), "--quiet")


@contextmanager
def temporary_file(content: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content.yaml")
        path.write_text(content, "utf-8")
        yield path


def command_line(words: tuple[str, ...]) -> str:
    return shlex.join(("gcloud", *words))


def text(value: Any) -> str:
    """Return a string of gcloud's JSON. Raise TypeError if it isn't one."""
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value


def items(value: Any) -> list[Any]:
    """Return a list of gcloud's JSON. Raise TypeError if it isn't one."""
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value


def base_name(resource: Any) -> str:
    return text(resource["name"]).rpartition("/")[2]


def _parse(words: tuple[str, ...], done: Done, parse: Callable[[Any], T]) -> T:
    if done.returncode:
        raise UnknownError(command_line(words), done.stderr.strip() or f"gcloud ended with status {done.returncode}")
    try:
        return parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        cause = "gcloud printed something unexpected" if done.stdout.strip() else "gcloud printed nothing"
        raise UnknownError(command_line(words), cause) from None  # the output may contain a secret


def _retry(run: Callable[[], Done], is_temporary: re.Pattern[str]) -> Done:
    """Run a command again while it fails because Google doesn't know a grant or an API yet."""
    for factor in BACKOFFS:
        done = run()
        if not done.returncode or not is_temporary.search(done.stderr):
            return done
        print("Google may not know a new grant or API yet: retrying", file=sys.stderr, flush=True)
        time.sleep(factor * float(os.environ.get("PAUSE", "5")))
    return run()


def _run_read(words: tuple[str, ...]) -> Done:
    command = ["gcloud", *words, "--format=json"]
    try:
        return subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=READ_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"gcloud didn't end within {READ_TIMEOUT_SECONDS:g} s")


def _run_write(words: tuple[str, ...], value: str | None) -> Done:
    """Run gcloud and show its messages, which are its progress, as they come."""
    process = subprocess.Popen(  # noqa: S603
        ["gcloud", *words],  # noqa: S607
        stdin=subprocess.DEVNULL if value is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    shown = ""
    with process:
        if process.stdin:
            with suppress(BrokenPipeError):  # gcloud exited before it read the value; its status reports that
                process.stdin.write((value or "").encode())
                process.stdin.close()
        while process.stderr and (chunk := os.read(process.stderr.fileno(), 4096)):
            shown += chunk.decode("utf-8", "replace")
            sys.stderr.buffer.write(chunk)
            sys.stderr.flush()
    return subprocess.CompletedProcess(words, process.returncode, "", shown)
