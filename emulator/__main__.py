"""`python -m emulator`: from a signed event to a mail, on this machine, with nothing else."""

import argparse
import json
import os
import signal
import sys
import threading
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
DELIVERED_SECONDS = 10.0  # then the page comes up and shows what keeps the mail
CHECKED_SECONDS = 45.0  # as long as `deliver` has; nobody watches --check


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.send:
        return _send(options.send, options.port)
    try:
        with Emulator(delivery=options.delivery) as emulator:
            run = emulator.run(example())
            if emulator.cloud_tasks:
                emulator.cloud_tasks.wait_until_empty(CHECKED_SECONDS if options.check else DELIVERED_SECONDS)
            if options.check:
                print(_report(run))
                return 0 if _delivered(run) else 1
            return _serve(emulator, run, options)
    except FunctionError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="Plays Auth0, Secret Manager, SendGrid and Cloud Tasks around the function, with a page to watch "
        "and break it.",
    )
    parser.add_argument("--check", action="store_true", help="end after one event: 0 if its mail arrived, else 1")
    parser.add_argument(
        "--send", metavar="FILE", type=Path, help="send FILE's event through an emulator that is running"
    )
    parser.add_argument("--port", type=int, default=PORT, help="where the page and the API listen (%(default)s)")
    parser.add_argument(
        "--delivery",
        choices=("direct", "queue"),
        default=os.environ.get("DELIVERY") or "direct",
        help="send within the request, or through Cloud Tasks and `deliver` as deploy.sh sets it up (%(default)s)",
    )
    own = os.environ.get(FOLDER_VARIABLE)
    parser.add_argument(
        "--events",
        metavar="FOLDER",
        type=Path,
        default=Path(own) if own else None,
        help=f"your own example events, *.json, for the test panel ({FOLDER_VARIABLE} says it too)",
    )
    return parser


def _serve(emulator: Emulator, run: Run, options: argparse.Namespace) -> int:
    """Stay up until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _server(emulator, options) as server, watching(emulator.refresh):
        print(f"Open {server.url}/\n\n{_report(run)}\n{_where(emulator, server)}", flush=True)
        stop.wait()
    return 0


def _server(emulator: Emulator, options: argparse.Namespace) -> Server:
    """The page's own exchanges are nobody's business: they get a journal of their own."""
    served = create_app(emulator, folders=[options.events] if options.events else [])
    try:
        return Server("page", served, Journal(), port=options.port)
    except OSError:
        print(f"Port {options.port} is taken; another one is used.")
        return Server("page", served, Journal())


def _where(emulator: Emulator, server: Server) -> str:
    file = (
        (SAMPLES / "full.json").relative_to(Path.cwd()) if SAMPLES.is_relative_to(Path.cwd()) else SAMPLES / "full.json"
    )
    command = f"{sys.executable} -m emulator --send {file}"
    if server.port != PORT:
        command += f" --port {server.port}"
    return f"""
Listening (Ctrl-C ends it all):
  function        {emulator.function.url}
  SendGrid        {emulator.sendgrid.url}
  Secret Manager  {emulator.secret_manager.url}
{_queue(emulator)}  page and API    {server.url}

Send another event:
  {command}
"""


def _queue(emulator: Emulator) -> str:
    queue = emulator.cloud_tasks
    return f"  Cloud Tasks     {queue.url}\n  deliver         {emulator.services[0].url}\n" if queue else ""


def _report(run: Run) -> str:
    return f"{timeline(run)}\n\n{format_emails(run) or 'No mail was sent.'}\n"


def _delivered(run: Run) -> bool:
    """Whether the Action ended well and the user's mail arrived, with the sentence that tells of the change."""
    address, connection = run.event["user"]["email"], run.event["connection"]["name"]
    sentence = f"The password for your {connection} account {address} was recently changed."
    return run.execution.status == "success" and [sentence in mail.data["text"] for mail in run.emails] == [True]


def _send(file: Path, port: int) -> int:
    address = f"http://127.0.0.1:{port}/api/runs"
    request = urllib.request.Request(address, data=file.read_bytes(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  (loopback)
            run = json.load(answer)
    except urllib.error.HTTPError as error:
        print(json.load(error)["error"], file=sys.stderr)
        return 1
    except urllib.error.URLError as error:
        print(f"No emulator listens on port {port} ({error.reason}): start one with `make run`.", file=sys.stderr)
        return 1
    none = "No mail yet: Cloud Tasks delivers it." if run["waiting"] else "No mail was sent."
    print(f"{run['timeline']}\n\n{run['mail'] or none}")
    return 0 if run["status"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
