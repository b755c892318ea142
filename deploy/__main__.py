"""`python -m deploy`: the command line of deploy.sh."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from audit.options import add_options as add_audit_options
from deploy import alerts, audit, commands, doctor, keys, project, releases, remove
from deploy.deployment import Deployment, check_project_of_secrets, read_values
from deploy.errors import DeployError
from deploy.gcloud import Gcloud

Options = argparse.Namespace


Run = Callable[[Gcloud, Deployment, Options], int | None]
COMMANDS: dict[str, tuple[str, Run]] = {
    "plan": ("print every gcloud command of a first run; change nothing", commands.plan),
    "setup": ("set up what is missing, without a deployment", commands.setup),
    "deploy": ("deploy, without the setup", commands.deploy),
    "secret": (
        "store the value of an Action secret, from standard input",
        lambda gcloud, deployment, options: keys.secret(gcloud, deployment, options.NAME),
    ),
    "draft": ("deploy a revision without traffic, at a URL of its own", commands.draft),
    "test": (
        "send a signed sample to the draft, or else to what receives traffic; no email is sent",
        lambda gcloud, deployment, _options: doctor.test(gcloud, deployment),
    ),
    "promote": (
        "route the traffic to the draft",
        lambda gcloud, deployment, _options: releases.promote(gcloud, deployment),
    ),
    "versions": (
        "print the function's URL, and the revisions",
        lambda gcloud, deployment, _options: releases.versions(gcloud, deployment),
    ),
    "revert": (
        "route the traffic to the deployment of REVISION again; without one, to the previous deployment",
        lambda gcloud, deployment, options: releases.revert(gcloud, deployment, options.REVISION),
    ),
    "rotate-signing-key": (
        "add a new signing key next to the old one; with finish, once Auth0 has it: keep only the new one",
        lambda gcloud, deployment, options: keys.rotate_signing_key(gcloud, deployment, finish=bool(options.finish)),
    ),
    "rotate-sendgrid-key": (
        "check and store a new key from standard input; with finish, once it works: disable the old ones",
        lambda gcloud, deployment, options: keys.rotate_sendgrid_key(gcloud, deployment, finish=bool(options.finish)),
    ),
    "doctor": (
        "find what is wrong, and how to fix it",
        lambda gcloud, deployment, options: doctor.examine(gcloud, deployment, *options.CHECK, *options.json),
    ),
    "audit": ("find password changes whose notice wasn't delivered: docs/audit.md", audit.audit),
    "alerts": (
        "create or update the metrics and alerts, which go to the notification channel",
        lambda gcloud, deployment, options: alerts.alerts(gcloud, deployment, options.CHANNEL),
    ),
    "remove": (
        "list what was set up, ask for confirmation, and delete it",
        lambda gcloud, deployment, _options: remove.remove(gcloud, deployment),
    ),
}
TAKES_FLAGS = (None, "plan", "deploy", "draft")


class Parser(argparse.ArgumentParser):
    """argparse, with the nearest command for one that it doesn't know."""

    def error(self, message: str) -> NoReturn:
        wrong = message.split("'")[1] if "invalid choice" in message else ""
        nearest = get_close_matches(wrong, COMMANDS, 1)
        super().error(f"{message}; did you mean {nearest[0]}?" if nearest else message)


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    if options.command == "help":
        _parser().print_help()
        return 0
    try:
        return _run(options) or 0
    except DeployError as error:
        print(f"deploy.sh: {error}", file=sys.stderr)
        return 2 if options.command == "audit" else 1  # the audit's 1 means that something is missing
    except BrokenPipeError:  # nobody reads the output any more, as in ./deploy.sh plan | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\ndeploy.sh: interrupted; run it again to complete it", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str]) -> Options:
    """Return the options; what is after `--` is gcloud's."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    options = parser.parse_args(arguments[:end])
    options.flags = list(arguments[end + 1 :])
    if options.flags and options.command not in TAKES_FLAGS:
        parser.error(f"{options.command} takes no flags for gcloud: {' '.join(options.flags)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="./deploy.sh",
        usage="./deploy.sh [-e FILE] [COMMAND] [-- GCLOUD-FLAGS]",
        description="Without a command: set up what is missing, deploy, route the traffic to the new revision.",
        epilog="-- GCLOUD-FLAGS: more flags for gcloud run deploy, such as ./deploy.sh -- --vpc-egress=all-traffic",
        allow_abbrev=False,
    )
    parser.add_argument("-e", "--env", metavar="FILE", help="the settings (env.yaml)")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", prog="./deploy.sh")
    added = {name: subparsers.add_parser(name, help=text, description=text) for name, (text, _) in COMMANDS.items()}
    for each in added.values():
        each.add_argument("-e", "--env", metavar="FILE", default=argparse.SUPPRESS, help="the settings (env.yaml)")
    added["secret"].add_argument("NAME")
    added["revert"].add_argument("REVISION", nargs="?")
    for name in ("rotate-signing-key", "rotate-sendgrid-key"):
        added[name].add_argument("finish", nargs="?", choices=["finish"])
    added["doctor"].add_argument("--json", action="append_const", const="--json", default=[], help="print JSON")
    added["doctor"].add_argument("CHECK", nargs="*", help="some of its checks; without one, all")
    add_audit_options(added["audit"])
    added["alerts"].add_argument("CHANNEL")
    subparsers.add_parser("help", help="print this")
    return parser


def _run(options: Options) -> int | None:
    run = COMMANDS[options.command][1] if options.command else commands.everything
    file = Path(os.environ.get("CALLED_FROM", "."), options.env) if options.env is not None else Path("env.yaml")
    values = read_values(file, os.environ)
    name = values.get("GOOGLE_CLOUD_PROJECT") or project.default_project()
    if not name:
        raise DeployError(f"no project: gcloud config set project PROJECT, or GOOGLE_CLOUD_PROJECT in {file}")
    deployment = Deployment(values, name, file)
    check_project_of_secrets(deployment)
    if run is commands.plan:
        return run(Gcloud(name, dry_run=True, output=sys.stdout), deployment, options)
    gcloud = Gcloud(name)
    project.access_token()  # before anything else: gcloud's own message for a read is less clear
    account = project.account()
    project.check(gcloud, account)
    mode = "queue" if deployment.has_queue else "direct"
    gcloud.say(f"{deployment.public} ({mode}) in {name}, {deployment.region}, as {account or 'an access token'}")
    return run(gcloud, deployment, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
