"""`python -m deploy`: the command line of deploy.sh."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, NoReturn

from deploy import alerts, commands, doctor, keys, project, releases, remove
from deploy.deployment import Deployment, check_project_of_secrets, read_values
from deploy.errors import DeployError
from deploy.gcloud import Gcloud

FLAGS = "-- GCLOUD-FLAGS"
Options = argparse.Namespace


class Command(NamedTuple):
    summary: str
    run: Callable[[Gcloud, Deployment, Options], int | None]
    arguments: Sequence[str] = ()  # NAME, [NAME], [finish]: what follows the command
    takes_flags: bool = False


COMMANDS = {
    "plan": Command("print every gcloud command of a first run; change nothing", commands.plan, (), True),
    "setup": Command("set up what is missing, without a deployment", commands.setup),
    "deploy": Command("deploy, without the setup", commands.deploy, (), True),
    "secret": Command(
        "store a value of an Action secret; it comes from standard input",
        lambda gcloud, deployment, options: keys.secret(gcloud, deployment, options.NAME),
        ("NAME",),
    ),
    "draft": Command("deploy a revision without traffic, at a URL of its own", commands.draft, (), True),
    "test": Command(
        "send a signed sample to the draft, or else to what receives traffic; no email is sent",
        lambda gcloud, deployment, _options: doctor.test(gcloud, deployment),
    ),
    "promote": Command(
        "route the traffic to the draft", lambda gcloud, deployment, _options: releases.promote(gcloud, deployment)
    ),
    "versions": Command(
        "print the function's URL, and the revisions",
        lambda gcloud, deployment, _options: releases.versions(gcloud, deployment),
    ),
    "revert": Command(
        "route the traffic to the deployment of REVISION again; without one, to the previous deployment",
        lambda gcloud, deployment, options: releases.revert(gcloud, deployment, options.REVISION),
        ("[REVISION]",),
    ),
    "rotate-signing-key": Command(
        "add a new signing key next to the old one; with finish, once Auth0 has it: keep only the new one",
        lambda gcloud, deployment, options: keys.rotate_signing_key(gcloud, deployment, finish=bool(options.finish)),
        ("[finish]",),
    ),
    "rotate-sendgrid-key": Command(
        "check and store a new key from standard input; with finish, once it works: disable the old ones",
        lambda gcloud, deployment, options: keys.rotate_sendgrid_key(gcloud, deployment, finish=bool(options.finish)),
        ("[finish]",),
    ),
    "doctor": Command(
        "find what is wrong, and how to fix it",
        lambda gcloud, deployment, options: doctor.examine(gcloud, deployment, *options.CHECK, *options.json),
        ("--json", "[CHECK...]"),
    ),
    "alerts": Command(
        "create or update the metrics and alerts, which go to the notification channel",
        lambda gcloud, deployment, options: alerts.alerts(gcloud, deployment, options.CHANNEL),
        ("CHANNEL",),
    ),
    "remove": Command(
        "list what was set up, ask, delete it", lambda gcloud, deployment, _options: remove.remove(gcloud, deployment)
    ),
}
EVERYTHING = Command("set up what is missing, deploy, route the traffic", commands.everything, (), True)


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
        return _run(COMMANDS.get(options.command, EVERYTHING), options) or 0
    except DeployError as error:
        print(f"deploy.sh: {error}", file=sys.stderr)
        return 1
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
    if options.flags and not COMMANDS.get(options.command, EVERYTHING).takes_flags:
        parser.error(f"{options.command} takes no flags for gcloud: {' '.join(options.flags)}")
    return options


def _parser() -> argparse.ArgumentParser:
    epilog = f"{FLAGS} are for gcloud run deploy, such as: ./deploy.sh -- --vpc-egress=all-traffic"
    summary = f"Without a command: {EVERYTHING.summary}. docs/deploy.md describes the whole way."
    parser = Parser(prog="./deploy.sh", description=summary, epilog=epilog, allow_abbrev=False)
    parser.add_argument("-e", "--env", metavar="FILE", help="the settings (env.yaml)")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        takes = f" [{FLAGS}]" if command.takes_flags else None
        added = subparsers.add_parser(name, help=command.summary, description=command.summary, epilog=takes)
        added.add_argument("-e", "--env", metavar="FILE", default=argparse.SUPPRESS, help="the settings (env.yaml)")
        for argument in command.arguments:
            _add(added, argument)
    subparsers.add_parser("help", help="print this")
    return parser


def _add(parser: argparse.ArgumentParser, argument: str) -> None:
    name = argument.strip("[].")
    if argument == "--json":
        parser.add_argument(argument, action="append_const", const="--json", default=[], help="print one JSON object")
    elif argument.endswith("...]"):
        parser.add_argument(name, nargs="*", help="some of its checks; without one: all")
    elif name.islower():
        parser.add_argument(name, nargs="?", choices=[name])
    else:
        parser.add_argument(name, nargs="?" if argument.startswith("[") else None)


def _run(command: Command, options: Options) -> int | None:
    file = Path(os.environ.get("CALLED_FROM", "."), options.env) if options.env is not None else Path("env.yaml")
    values = read_values(file, os.environ)
    name = values.get("GOOGLE_CLOUD_PROJECT") or project.default_project()
    if not name:
        raise DeployError(f"no project: gcloud config set project PROJECT, or GOOGLE_CLOUD_PROJECT in {file}")
    deployment = Deployment(values, name, file)
    check_project_of_secrets(deployment)
    if command.run is commands.plan:
        return command.run(Gcloud(name, dry_run=True, output=sys.stdout), deployment, options)
    gcloud = Gcloud(name)
    project.access_token()  # before anything else: gcloud's own message for a read is less clear
    account = project.account()
    project.check(gcloud, account)
    mode = "queue" if deployment.has_queue else "direct"
    gcloud.say(f"{deployment.public} ({mode}) in {name}, {deployment.region}, as {account or 'an access token'}")
    return command.run(gcloud, deployment, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
