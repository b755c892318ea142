"""`python -m doctor`: check everything between a changed password and an email, and report how to fix problems.

Exit status: 0 if there are no errors, 1 if there are errors, 2 if the arguments are invalid.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from auth0.management_api import tenant_name
from deploy import config
from deploy.deployment import Deployment
from doctor import auth0, callout, dns, logs, secrets, sendgrid
from doctor.context import CheckContext
from doctor.finding import Finding, is_healthy, summarize, to_json
from notice.languages import is_available
from settings import PRIVATE_TARGET, Settings, SettingsError, exempt_loopback_from_proxies, load

DEFAULT_CHECKS = ("settings", "secrets", "mail", "domain", "callout", "tenant", "logs")
CHECKS = (*DEFAULT_CHECKS, "key")


def main(arguments: list[str] | None = None) -> int:
    options = _parse_options(arguments)
    exempt_loopback_from_proxies()
    findings = []
    for finding in _run_checks(options):
        findings.append(finding)
        if not options.json and not (options.quiet and finding.level in ("ok", "skipped")):
            print(finding, file=sys.stderr if options.quiet else sys.stdout, flush=True)
    if options.json:
        print(to_json(findings))
    elif not options.quiet and not options.checks:
        print(summarize(findings))
    return 0 if is_healthy(findings) else 1


def _parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="doctor", description=__doc__, formatter_class=argparse.RawTextHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"one or more of {', '.join(CHECKS)}")
    parser.add_argument("--env", type=Path, default=Path("env.yaml"), help="the settings file (default: env.yaml)")
    parser.add_argument("--url", default="", help="the function's URL; if omitted, the function isn't called")
    parser.add_argument("--deployed", action="store_true", help="the settings are complete: deploy.sh wrote them")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors, to standard error")
    options = parser.parse_args(arguments)
    if set(options.checks) - set(CHECKS):
        parser.error(f"unknown check; use one or more of {', '.join(CHECKS)}")
    return options


def _run_checks(options: argparse.Namespace) -> Iterator[Finding]:
    checks = options.checks or DEFAULT_CHECKS
    try:
        environment = _read_environment(options)
        settings = load({**environment, "FUNCTION_TARGET": PRIVATE_TARGET}, is_language=is_available)
    except SettingsError as errors:
        for name, problem, fix in errors.errors:
            yield Finding("error", "settings", f"{name} {problem}", "the function wouldn't start", fix)
        return
    if "settings" in checks:
        yield Finding("ok", "settings", "all settings are valid")
    if set(checks) - {"settings"}:
        yield from _check_services(options, checks, environment, settings)


def _read_environment(options: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment of the service that sends email. Raise SettingsError if it wouldn't start."""
    values = config.read(options.env)
    if options.deployed:
        return values
    config.check(values)
    deployment = Deployment(values)
    return deployment.environment(deployment.services[0], mounted=False)


def _check_services(
    options: argparse.Namespace, checks: Iterable[str], environment: Mapping[str, str], settings: Settings
) -> Iterator[Finding]:
    tenant, token = tenant_name(os.environ.get("AUTH0_DOMAIN", "")), os.environ.get("GOOGLE_ACCESS_TOKEN", "")
    context = CheckContext(environment, settings, options.url, tenant, token)
    if "key" in checks:
        yield from secrets.check_sendgrid_key(context, sys.stdin.read().strip())
        yield from sendgrid.check(context)
        return
    findings = list(secrets.check(context))  # the other checks need the secrets' values
    yield from findings if "secrets" in checks else [finding for finding in findings if finding.level == "error"]
    others = (("mail", sendgrid), ("domain", dns), ("callout", callout), ("tenant", auth0), ("logs", logs))
    for name, check in others:
        if name == "callout" and options.deployed and not options.url:
            yield Finding("error", "callout", "the function isn't deployed", "no notices are sent", "./deploy.sh")
        elif name in checks:
            yield from check.check(context)


if __name__ == "__main__":
    sys.exit(main())
