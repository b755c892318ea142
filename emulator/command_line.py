"""The command line of `python -m emulator`: start the emulator, check one event, or send one to a running emulator."""

import argparse
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from contextlib import nullcontext
from pathlib import Path

from emulator.auth0.samples import FOLDER_VARIABLE, SAMPLES, START, example
from emulator.cloud_run.process import FunctionError
from emulator.cloud_run.watch import watching
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Emulator, Run
from emulator.runs.runs import KEPT_RUNS
from emulator.runs.timeline import format_emails, timeline
from emulator.terminal import printing_runs
from emulator.web.app import create_app

PORT = 8765
MAX_KEPT_RUNS = 100_000
DELIVERY_TIMEOUT_SECONDS = 10.0  # then the page starts anyway, and shows why the email is late
CHECK_TIMEOUT_SECONDS = 45.0  # the time limit of `deliver`


class UsageError(Exception):
    """The command can't do what it was asked for; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _send(options.send, PORT if options.port is None else options.port) if options.send else _start(options)
    except (UsageError, FunctionError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="Run the function with emulators of Auth0, Secret Manager, SendGrid, and Cloud Tasks.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check", action="store_true", help="send one event, and exit with 0 if its email arrived, otherwise with 1"
    )
    parser.add_argument("--send", metavar="FILE", type=Path, help="send the event in FILE through the running emulator")
    parser.add_argument("--port", type=_port, help=f"port of the page and the API, 0 for a free one (default: {PORT})")
    parser.add_argument("--quiet", action="store_true", help="print only the URL of the page, and no line per run")
    parser.add_argument(
        "--keep", metavar="N", type=_count, default=KEPT_RUNS, help="keep the latest N runs and emails (%(default)s)"
    )
    parser.add_argument(
        "--delivery",
        choices=("direct", "queue"),
        default=os.environ.get("DELIVERY") or "direct",
        help="send during the request, or through Cloud Tasks and `deliver`, as deployed (default: %(default)s)",
    )
    folder = os.environ.get(FOLDER_VARIABLE)
    parser.add_argument(
        "--events",
        metavar="FOLDER",
        type=Path,
        default=Path(folder) if folder else None,
        help=f"folder of your own example events, *.json, for the test panel (default: ${FOLDER_VARIABLE})",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a port: use a number from 1 to 65535, or 0 for a free one")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_KEPT_RUNS:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of runs: use a number from 1 to {MAX_KEPT_RUNS}")
    return int(text)


def _start(options: argparse.Namespace) -> int:
    """Start the emulator, change a password, and then check the email or serve the page."""
    if options.events and not options.events.is_dir():
        raise UsageError(f"{options.events} isn't a folder: name a folder of *.json files with --events")
    try:
        starting = Emulator(delivery=options.delivery, keep=options.keep)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with starting as emulator:
        if options.check:
            run = _first_run(emulator, CHECK_TIMEOUT_SECONDS)
            print(_report(run))
            return 0 if _is_delivered(run) else 1
        server = _server(emulator, options)  # before the first run, so that a taken port is reported at once
        return _serve(emulator, server, _first_run(emulator, DELIVERY_TIMEOUT_SECONDS), options)


def _first_run(emulator: Emulator, timeout: float) -> Run:
    run = emulator.run(example(START))
    if emulator.cloud_tasks:
        emulator.cloud_tasks.wait_until_empty(timeout)
    return run


def _serve(emulator: Emulator, server: Server, run: Run, options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM; `run` is the first run."""
    stopped = _on_stop()
    lines = nullcontext() if options.quiet else printing_runs(emulator, server.url, sys.stdout)
    with lines, server, watching(emulator.refresh):
        details = "" if options.quiet else f"\n{_report(run)}\n{_listening_on(emulator, server)}"
        print(f"Open {server.url}/\n{details}", flush=True)
        os.read(stopped, 1)
    return 0


def _on_stop() -> int:
    """Return a file descriptor that becomes readable at SIGINT or SIGTERM.

    A handler that took a lock, such as Event.set, would deadlock if a second signal interrupted it.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reader


def _server(emulator: Emulator, options: argparse.Namespace) -> Server:
    """Return the page's server, with a separate journal, so that the page's own requests aren't shown.

    Raise UsageError if the port in the options is taken; use another one if it is the default port.
    """
    web_app = create_app(emulator, folders=[options.events] if options.events else [])
    try:
        return Server("page", web_app, Journal(limit=1), port=PORT if options.port is None else options.port)
    except OSError as error:
        if options.port is not None:
            problem = f"can't listen on port {options.port} ({os.strerror(error.errno or 0)})"
            raise UsageError(f"{problem}: choose another one with --port N or make run PORT=N") from None
        print(f"Port {PORT} is in use, so the page uses another one.", flush=True)
        return Server("page", web_app, Journal(limit=1))


def _listening_on(emulator: Emulator, server: Server) -> str:
    file = SAMPLES / "full.json"
    if file.is_relative_to(Path.cwd()):
        file = file.relative_to(Path.cwd())
    command = f"{sys.executable} -m emulator --send {file}"
    if server.port != PORT:
        command += f" --port {server.port}"
    return f"""
Listening (press Ctrl-C to stop):
  function        {emulator.function.url}
  SendGrid        {emulator.sendgrid.url}
  Secret Manager  {emulator.secret_manager.url}
  Auth0's log     {emulator.tenant_log.url}
{_queue(emulator)}  page and API    {server.url}

Send another event:
  {command}
"""


def _queue(emulator: Emulator) -> str:
    queue = emulator.cloud_tasks
    return f"  Cloud Tasks     {queue.url}\n  deliver         {emulator.services[0].url}\n" if queue else ""


def _report(run: Run) -> str:
    return f"{timeline(run)}\n\n{format_emails(run) or 'No email was sent.'}\n"


def _is_delivered(run: Run) -> bool:
    """Return whether the forwarder Action succeeded and the user got one email that reports the change."""
    address, connection = run.event["user"]["email"], run.event["connection"]["name"]
    sentence = f"The password for your {connection} account {address} was recently changed."
    return run.execution.status == "success" and [sentence in email.data["text"] for email in run.emails] == [True]


def _send(file: Path, port: int) -> int:
    """Send an event to a running emulator, and print its run."""
    try:
        event = file.read_bytes()
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from None
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/runs", data=event, method="POST")
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=60) as response:
            run = json.load(response)
    except urllib.error.HTTPError as error:
        raise UsageError(_reason(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(f"no emulator responds on port {port} ({reason}); start it with: make run") from None
    no_email = "No email yet: the task is in the queue." if run["waiting"] else "No email was sent."
    print(f"{run['timeline']}\n\n{run['mail'] or no_email}")
    return 0 if run["status"] == "success" else 1


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, LookupError, TypeError):
        return (
            f"the server on that port isn't the emulator (status {error.code}): choose the emulator's port with --port"
        )
