"""The only access to gcloud: reads that have three outcomes, and writes that are printed before they run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, TypeVar

from deploy.errors import DeployError, UnknownError

T = TypeVar("T")

# How gcloud reports that a resource doesn't exist: Cloud Run's commands, then all others.
ABSENT = re.compile(r"ERROR: \(gcloud[\w.-]*\) (Cannot find (service|revision) \[|NOT_FOUND: )")
# An API that was just enabled.
DISABLED = re.compile(r"SERVICE_DISABLED|has not been used in project .* before or it is disabled")
# What a new account, grant, or metric, or a newly enabled API causes until all of Google knows it.
PROPAGATION = re.compile(
    rf"{DISABLED.pattern}|PERMISSION_DENIED|permission.* denied|does not have .*(access|permission)"
    "|missing .*permission|service account .*does not exist|Unknown service account|Cannot find metric",
    re.IGNORECASE,
)
BACKOFFS = (1, 2, 4, 8)  # times PAUSE seconds: 75 s, since a grant takes about a minute


class Gcloud:
    """gcloud for one project. With `dry_run` nothing is read (as in a new project) and writes are only printed."""

    def __init__(self, project: str, *, dry_run: bool = False, output: TextIO | None = None) -> None:
        self.project, self.dry_run, self._output = project, dry_run, output or sys.stderr
        self.enabled_apis = False  # in this run: reads may fail until all of Google knows it

    def read(self, *words: str, parse: Callable[[Any], T]) -> T | None:
        """Return what `parse` takes from gcloud's JSON, or None if gcloud reports that the resource doesn't exist.

        Raise UnknownError for any other result, and for output that `parse` can't use.
        """
        if self.dry_run:
            return None
        for factor in (*BACKOFFS, None):
            done = _run_read((*words, f"--project={self.project}", "--quiet"))
            if factor is None or not (self.enabled_apis and done.returncode and DISABLED.search(done.stderr)):
                break
            _back_off(factor)
        if done.returncode and ABSENT.match(done.stderr):
            return None
        return _parse(words, done, parse)

    def read_existing(self, *words: str, parse: Callable[[Any], T]) -> T:
        """Return what a read finds where "doesn't exist" is no possible answer."""
        found = self.read(*words, parse=parse)
        if found is None:
            raise UnknownError(command_line(words), "gcloud reports that it doesn't exist")
        return found

    def write(self, *words: str, value: str | None = None) -> None:
        """Print the command, then run it with `value` as its input; retry while Google doesn't know a grant yet.

        Raise DeployError if it fails.
        """
        command = (*words, f"--project={self.project}", "--quiet")
        print(command_line(command), file=self._output, flush=True)
        if self.dry_run:
            return
        for factor in (*BACKOFFS, None):
            error = _run_write(command, value)
            if error is None:
                return
            if factor is None or not PROPAGATION.search(error):
                raise DeployError(
                    f"this command failed: {command_line(words)}", error, "fix the cause, and run it again"
                )
            self.say("Google may not know a new grant or API yet: retrying")
            _back_off(factor)

    def say(self, *lines: str) -> None:
        """Print progress for the user, except in a dry run."""
        if not self.dry_run:
            print(*lines, sep="\n", file=sys.stderr, flush=True)


def read_local(*words: str, parse: Callable[[Any], T]) -> T:
    """Return what gcloud's own configuration or sign-in says; no project is needed."""
    if shutil.which("gcloud") is None:
        raise DeployError("gcloud isn't installed: https://cloud.google.com/sdk/docs/install")
    return _parse(words, _run_read(words), parse)


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


def _parse(words: tuple[str, ...], done: subprocess.CompletedProcess[str], parse: Callable[[Any], T]) -> T:
    if done.returncode:
        raise UnknownError(command_line(words), done.stderr.strip() or f"gcloud ended with status {done.returncode}")
    try:
        return parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        cause = "gcloud printed something unexpected" if done.stdout.strip() else "gcloud printed nothing"
        raise UnknownError(command_line(words), cause) from None  # the output may hold a secret


def _run_read(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    command = ["gcloud", *words, "--format=json"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False)  # noqa: S603


def _run_write(words: tuple[str, ...], value: str | None) -> str | None:
    """Run gcloud; its progress is shown. Return its messages if it failed."""
    process = subprocess.Popen(  # noqa: S603
        ["gcloud", *words],  # noqa: S607
        stdin=subprocess.DEVNULL if value is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    shown = ""
    with process:
        if process.stdin:
            with suppress(BrokenPipeError):  # gcloud ended before it read; its status says so
                process.stdin.write((value or "").encode())
                process.stdin.close()
        while process.stderr and (chunk := os.read(process.stderr.fileno(), 4096)):
            shown += chunk.decode("utf-8", "replace")
            sys.stderr.buffer.write(chunk)
            sys.stderr.flush()
    return (shown.strip() or f"gcloud ended with status {process.returncode}") if process.returncode else None


def _back_off(factor: int) -> None:
    time.sleep(factor * float(os.environ.get("PAUSE", "5")))
