"""`python -m deploy`: the command line of deploy.sh."""

import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from audit.options import add_options as add_audit_options
from deploy import alerts, checks, keys, programs, releases, remove, setup
from deploy.config import read_deployment
from deploy.deployment import Deployment
from deploy.gcloud import DeployError, Gcloud

Run = Callable[[Gcloud, Deployment, Namespace], int | None]  # its docstring is its help
COMMANDS: dict[str, Run] = {
    "plan": releases.plan,
    "setup": setup.setup,
    "deploy": releases.deploy,
    "secret": keys.secret,
    "draft": releases.draft,
    "test": programs.test,
    "promote": releases.promote,
    "versions": releases.versions,
    "revert": releases.revert,
    "rotate-signing-key": keys.rotate_signing_key,
    "rotate-sendgrid-key": keys.rotate_sendgrid_key,
    "doctor": programs.doctor,
    "audit": programs.audit,
    "alerts": alerts.alerts,
    "remove": remove.remove,
}
TAKES_FLAGS = (None, "plan", "deploy", "draft")


class Parser(ArgumentParser):
    """An argument parser that suggests the nearest command for an unknown one."""

    def error(self, message: str) -> NoReturn:
        wrong = message.split("'")[1] if "invalid choice" in message else ""
        nearest = get_close_matches(wrong, COMMANDS, 1)
        super().error(f"{message}; did you mean {nearest[0]}?" if nearest else message)


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = _parse(parser, list(arguments))
    if options.command == "help":
        parser.print_help()
        return 0
    try:
        return _run(options) or 0
    except DeployError as error:
        print(f"deploy.sh: {error}", file=sys.stderr)
        return 2 if options.command == "audit" else 1  # the audit's 1 means that something is missing
    except BrokenPipeError:  # the reader has closed the output, as in ./deploy.sh plan | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\ndeploy.sh: interrupted; run it again to complete it", file=sys.stderr)
        return 130


def _parse(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    """Return the options; the arguments after `--` are flags for gcloud."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.flags = arguments[end + 1 :]
    if options.flags and options.command not in TAKES_FLAGS:
        parser.error(f"{options.command} takes no flags for gcloud: {' '.join(options.flags)}")
    return options


def _parser() -> ArgumentParser:
    parser = Parser(
        prog="./deploy.sh",
        usage="./deploy.sh [-e FILE] [COMMAND] [-- GCLOUD-FLAGS]",
        description="Without a command: create missing resources, deploy, and route all traffic to the new revision.",
        epilog="-- GCLOUD-FLAGS: more flags for gcloud run deploy, such as ./deploy.sh -- --vpc-egress=all-traffic",
        allow_abbrev=False,
    )
    parser.add_argument("-e", "--env", metavar="FILE", help="the settings file (default: env.yaml)")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", prog="./deploy.sh")
    added = {}
    for name, run in COMMANDS.items():
        text = (run.__doc__ or "").partition("\n")[0]
        added[name] = subparsers.add_parser(name, help=text, description=text)
        added[name].add_argument(
            "-e", "--env", metavar="FILE", default=SUPPRESS, help="the settings file (default: env.yaml)"
        )
    added["secret"].add_argument("NAME")
    added["revert"].add_argument("REVISION", nargs="?")
    for name in ("rotate-signing-key", "rotate-sendgrid-key"):
        added[name].add_argument("finish", nargs="?", choices=["finish"])
    added["doctor"].add_argument("--json", action="append_const", const="--json", default=[], help="print JSON")
    added["doctor"].add_argument("CHECK", nargs="*", help="checks to run (default: all)")
    add_audit_options(added["audit"])
    added["alerts"].add_argument("CHANNEL")
    subparsers.add_parser("help", help="print this")
    return parser


def _run(options: Namespace) -> int | None:
    run = COMMANDS[options.command] if options.command else releases.everything
    given = options.env is not None
    deployment = read_deployment(Path(os.environ.get("CALLED_FROM", "."), options.env) if given else Path("env.yaml"))
    gcloud = Gcloud(deployment.project, dry_run=options.command == "plan")
    if not gcloud.dry_run:
        _ = gcloud.token  # before anything else: gcloud's own message for a read is less clear
        checks.project(gcloud)
        mode, account = "queue" if deployment.has_queue else "direct", gcloud.account or "an access token"
        gcloud.say(f"{deployment.public} ({mode}) in {gcloud.project}, {deployment.region}, as {account}")
    return run(gcloud, deployment, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
