"""Tests of `python -m emulator`, run interactively and in a pipeline."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self, cast
from urllib.parse import urlsplit

import pytest

from emulator.cloud_run.process import PROJECT_ROOT, free_port
from emulator.core.child import Child
from tests.support.processes import descendants, needs_proc, surviving

SENTENCE = "The password for your Username-Password-Authentication account j+smith@example.com was recently changed."
DEAD_PROXY = {
    "NO_PROXY": "",
    "no_proxy": "",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1"),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:1"),
}


def run(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=PROJECT_ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


def check(environment: Mapping[str, str] | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "emulator", "--check", *options, environment=environment)


def test_check_succeeds_and_prints_the_email() -> None:
    result = check()
    assert result.returncode == 0, result.stderr
    assert SENTENCE in result.stdout.replace("\n", " ")
    assert result.stderr == ""


def test_check_with_mounted_secrets_reads_nothing_from_secret_manager() -> None:
    result = check({"SECRETS": "mounted"})
    assert result.returncode == 0, result.stderr
    assert "Secret Manager" not in result.stdout


def test_check_fails_if_no_email_is_sent() -> None:
    result = check({"ALLOWED_TENANTS": "another-tenant"})
    assert result.returncode == 1
    assert "No email was sent." in result.stdout
    assert "Error sending email to j+smith@example.com: 401 invalid_signature" in result.stdout


def test_an_unknown_value_of_secrets_is_an_error() -> None:
    result = check({"SECRETS": "files"})
    assert (result.returncode, result.stderr) == (1, "SECRETS must be client or mounted, not 'files'\n")


def test_check_fails_if_the_function_does_not_start() -> None:
    result = check({"SENDER_EMAIL": "security@example.com", "SUPPORT_CONTACT": "invalid"})
    assert result.returncode == 1
    first, second, *_ = result.stderr.splitlines()
    assert first == "the function didn't start: it exited"
    assert second.startswith("SUPPORT_CONTACT isn't an email address or an https URL: ")


@pytest.mark.parametrize(("environment", "options"), [({}, ["--delivery", "queue"]), ({"DELIVERY": "queue"}, [])])
def test_check_uses_the_queue_if_requested(environment: dict[str, str], options: list[str]) -> None:
    result = check(environment, *options)
    assert result.returncode == 0, result.stderr
    assert "Cloud Tasks      task delivered after 1 attempt" in result.stdout
    assert "recently changed." in result.stdout


def test_an_invalid_delivery_mode_is_reported_with_its_fix() -> None:
    result = check({"DELIVERY": "invalid"})
    assert result.returncode == 1
    assert "use direct or queue" in result.stderr


class EmulatorProcess:
    """A context manager that runs the emulator in its own process group, as a terminal does."""

    def __init__(self) -> None:
        self.port, self.printed = free_port(), ""

    def __enter__(self) -> Self:
        """Start it, and wait until it prints how to send another event."""
        self.process: Child[str] = Child(
            [sys.executable, "-m", "emulator", "--port", str(self.port)],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = cast(IO[str], self.process.stdout)
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        for line in self.output:
            self.printed += line
            if " -m emulator --send " in line:
                break
        watchdog.cancel()
        self.processes = [self.process.pid, *descendants(self.process.pid)]
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()

    @property
    def command(self) -> str:
        return self.printed.splitlines()[-1].strip()

    @property
    def addresses(self) -> list[str]:
        return re.findall(r"^  \w.*\s(http://\S+)$", self.printed, re.MULTILINE)

    def stop(self, stop_signal: signal.Signals, count: int = 1) -> int:
        """Send the signal `count` times in quick succession, and return the exit status."""
        for _ in range(count):
            self.process.send_signal(stop_signal)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as running:
        yield running


def test_startup_sends_an_email_and_every_printed_address_is_listening(running: EmulatorProcess) -> None:
    assert SENTENCE in running.printed.replace("\n", " ")
    assert len(running.addresses) == 5
    assert running.addresses[-1] == f"http://127.0.0.1:{running.port}"
    for address in running.addresses:
        url = urlsplit(address)
        socket.create_connection((url.hostname or "", url.port or 0), 5).close()


def test_the_first_email_shows_all_its_facts(running: EmulatorProcess) -> None:
    for fact in ("Chrome on Windows", "Bellevue, United States", "192.0.2.10", "Pacific"):
        assert fact in running.printed


def test_the_printed_command_sends_another_event(running: EmulatorProcess) -> None:
    result = run("sh", "-c", running.command)
    assert result.returncode == 0, result.stderr
    assert "ada@example.com" in result.stdout


def test_an_event_file_that_is_not_json_is_reported(running: EmulatorProcess, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text("{", "utf-8")
    result = run(sys.executable, "-m", "emulator", "--send", str(file), "--port", str(running.port))
    assert result.returncode == 1
    assert "the event is not JSON" in result.stderr


def test_sending_without_a_running_emulator_prints_how_to_start_one() -> None:
    result = run(
        sys.executable, "-m", "emulator", "--send", "emulator/auth0/samples/full.json", "--port", str(free_port())
    )
    assert result.returncode == 1
    assert "make run" in result.stderr


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--port", "80000"], 2, "'80000' isn't a port: use a number from 1 to 65535, or 0 for a free one"),
        (["--keep", "0"], 2, "'0' isn't a number of runs"),
        (["--send", "nosuch.json"], 1, "can't read nosuch.json: No such file or directory"),
        (["--events", "/nonexistent"], 1, "/nonexistent isn't a folder: name a folder of *.json files with --events"),
    ],
)
def test_an_invalid_option_is_reported_without_a_traceback(options: list[str], status: int, message: str) -> None:
    result = run(sys.executable, "-m", "emulator", *options)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_taken_port_is_reported_with_how_to_choose_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(sys.executable, "-m", "emulator", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"can't listen on port {port} (Address already in use): choose another one with --port N or make run PORT=N\n"
    )


def test_make_run_passes_the_port_on() -> None:
    result = run("make", "--no-print-directory", "--dry-run", "run", "PORT=8911", f"VENV={sys.prefix}")
    assert result.stdout.splitlines()[-1].endswith("-m emulator --port 8911"), result


@needs_proc
@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_sigint_and_sigterm_stop_every_process(stop_signal: signal.Signals) -> None:
    with EmulatorProcess() as running:
        assert len(running.processes) >= 4  # the emulator, the function's two processes, Node
        assert running.stop(stop_signal) == 0
        assert surviving(running.processes, timeout=0) == []


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_in_quick_succession_stop_it(stop_signal: signal.Signals) -> None:
    with EmulatorProcess() as running:
        assert running.stop(stop_signal, count=2) == 0


@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_check_succeeds_with_a_proxy_that_does_not_respond(delivery: str) -> None:
    result = check(DEAD_PROXY, "--delivery", delivery)
    assert result.returncode == 0, result.stdout


def test_an_event_is_sent_with_a_proxy_that_does_not_respond(running: EmulatorProcess) -> None:
    result = run("sh", "-c", running.command, environment=DEAD_PROXY)
    assert result.returncode == 0, result.stderr
