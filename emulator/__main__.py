"""`python -m emulator`: from a signed event to a mail, on this machine, with nothing else."""

import argparse
import json
import signal
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from emulator.api import app
from emulator.emulator import EVENTS, Emulator, Run, example
from emulator.function import FunctionError
from emulator.server import Server
from emulator.timeline import mails, timeline

PORT = 8765


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.send:
        return _send(options.send, options.port)
    try:
        with Emulator() as emulator:
            run = emulator.run(example())
            print(_report(run))
            if options.check:
                return 0 if _delivered(run) else 1
            return _serve(emulator, options.port)
    except FunctionError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="Plays Auth0, Secret Manager and SendGrid around the function, and sends an event through it all.",
    )
    parser.add_argument("--check", action="store_true", help="end after one event: 0 if its mail arrived, else 1")
    parser.add_argument(
        "--send", metavar="FILE", type=Path, help="send FILE's event through an emulator that is running"
    )
    parser.add_argument("--port", type=int, default=PORT, help="where the emulator's own API listens (%(default)s)")
    return parser


def _serve(emulator: Emulator, port: int) -> int:
    """Stay up until Ctrl-C or SIGTERM."""
    with _api(emulator, port) as api:
        print(_where(emulator, api), flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()
    return 0


def _api(emulator: Emulator, port: int) -> Server:
    try:
        return Server("api", app(emulator), emulator.journal, port=port)
    except OSError:
        print(f"Port {port} is taken; another one is used.")
        return Server("api", app(emulator), emulator.journal)


def _where(emulator: Emulator, api: Server) -> str:
    file = (EVENTS / "full.json").relative_to(Path.cwd()) if EVENTS.is_relative_to(Path.cwd()) else EVENTS / "full.json"
    command = f"{sys.executable} -m emulator --send {file}"
    if api.port != PORT:
        command += f" --port {api.port}"
    return f"""
Listening (Ctrl-C ends it all):
  function        {emulator.function.url}
  SendGrid        {emulator.sendgrid.url}
  Secret Manager  {emulator.secret_manager.url}
  emulator API    {api.url}

Send another event:
  {command}
"""


def _report(run: Run) -> str:
    return f"{timeline(run)}\n\n{mails(run) or 'No mail was sent.'}\n"


def _delivered(run: Run) -> bool:
    """Whether the Action ended well and the user's mail arrived, with the sentence that tells of the change."""
    address, connection = run.event["user"]["email"], run.event["connection"]["name"]
    sentence = f"The password for your {connection} account {address} was recently changed."
    return run.execution.status == "success" and [sentence in mail.data["text"] for mail in run.mails] == [True]


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
    print(f"{run['timeline']}\n\n{run['mails'] or 'No mail was sent.'}")
    return 0 if run["status"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
