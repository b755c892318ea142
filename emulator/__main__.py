"""`python -m emulator`: run the function locally, from a signed event to an email."""

import argparse
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from emulator.auth0.samples import FOLDER_VARIABLE, SAMPLES, example
from emulator.cloud_run.process import FunctionError
from emulator.cloud_run.watch import watching
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import Emulator, Run
from emulator.runs.timeline import format_emails, timeline
from emulator.web.app import create_app

PORT = 8765
DELIVERY_TIMEOUT_SECONDS = 10.0  # then the page starts anyway, and shows why the email is late
CHECK_TIMEOUT_SECONDS = 45.0  # the time limit of `deliver`


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.send:
        return _send(options.send, options.port)
    try:
        with Emulator(delivery=options.delivery) as emulator:
            run = emulator.run(example())
            if emulator.cloud_tasks:
                timeout = CHECK_TIMEOUT_SECONDS if options.check else DELIVERY_TIMEOUT_SECONDS
                emulator.cloud_tasks.wait_until_empty(timeout)
            if options.check:
                print(_report(run))
                return 0 if _is_delivered(run) else 1
            return _serve(emulator, run, options)
    except FunctionError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="Run the function with emulators of Auth0, Secret Manager, SendGrid, and Cloud Tasks.",
    )
    parser.add_argument(
        "--check", action="store_true", help="send one event, and exit with 0 if its email arrived, otherwise with 1"
    )
    parser.add_argument("--send", metavar="FILE", type=Path, help="send the event in FILE through the running emulator")
    parser.add_argument("--port", type=int, default=PORT, help="port of the page and the API (default: %(default)s)")
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


def _serve(emulator: Emulator, run: Run, options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM."""
    stopped = _on_stop()
    with _server(emulator, options) as server, watching(emulator.refresh):
        print(f"Open {server.url}/\n\n{_report(run)}\n{_listening_on(emulator, server)}", flush=True)
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
    """Return the page's server, with a separate journal, so that the page's own requests aren't shown."""
    web_app = create_app(emulator, folders=[options.events] if options.events else [])
    try:
        return Server("page", web_app, Journal(), port=options.port)
    except OSError:
        print(f"Port {options.port} is in use; using another one.")
        return Server("page", web_app, Journal())


def _listening_on(emulator: Emulator, server: Server) -> str:
    file = (
        (SAMPLES / "full.json").relative_to(Path.cwd()) if SAMPLES.is_relative_to(Path.cwd()) else SAMPLES / "full.json"
    )
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
    address = f"http://127.0.0.1:{port}/api/runs"
    request = urllib.request.Request(address, data=file.read_bytes(), method="POST")
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=60) as response:
            run = json.load(response)
    except urllib.error.HTTPError as error:
        print(json.load(error)["error"], file=sys.stderr)
        return 1
    except urllib.error.URLError as error:
        reason = f"can't connect to the emulator on port {port} ({error.reason})"
        print(f"{reason}; start it with: make run", file=sys.stderr)
        return 1
    no_email = "No email yet: the task is in the queue." if run["waiting"] else "No email was sent."
    print(f"{run['timeline']}\n\n{run['mail'] or no_email}")
    return 0 if run["status"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
