"""`python -m doctor`: check everything between a changed password and an email, and report how to fix problems.

Exit status: 0 if there are no errors, 1 if there are errors, 2 if the arguments are invalid.
"""

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from auth0.management_api import tenant_name
from deploy import config
from doctor.finding import Finding, is_healthy, summarize, to_json
from notice.languages import available
from settings import SettingError, SettingsError, exempt_loopback_from_proxies, load

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
    parser = argparse.ArgumentParser(prog="doctor", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"one or more of {', '.join(CHECKS)}")
    parser.add_argument("--env", type=Path, default=Path("env.yaml"), help="the settings file (default: env.yaml)")
    parser.add_argument("--url", default="", help="the function's URL; if omitted, the function isn't called")
    parser.add_argument("--project", default="", help="the Google Cloud project, for the secrets' names")
    parser.add_argument("--deployed", action="store_true", help="the settings are complete: deploy.sh wrote them")
    parser.add_argument("--resolver", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors, to standard error")
    options = parser.parse_args(arguments)
    if set(options.checks) - set(CHECKS):
        parser.error(f"unknown check; use one or more of {', '.join(CHECKS)}")
    return options


def _run_checks(options: argparse.Namespace) -> Iterator[Finding]:
    checks = options.checks or DEFAULT_CHECKS
    values = yield from _check_settings(options, report_ok="settings" in checks)
    if values is not None and set(checks) - {"settings"}:
        yield from _check_services(options, checks, values)


def _check_settings(options: argparse.Namespace, *, report_ok: bool) -> Generator[Finding, None, dict[str, str] | None]:
    """Yield the errors in env.yaml and return its values, or None if there are errors."""
    errors: list[SettingError] = []
    try:
        values = config.read(options.env)
        errors = [] if options.deployed else config.find_errors(values)
        load(config.sending_environment(values, options.project), languages=available())
    except SettingsError as error:
        errors = errors or list(error.errors)
    for name, problem, fix in errors:
        yield Finding("error", "settings", f"{name} {problem}", "the function wouldn't start", fix)
    if errors:
        return None
    if report_ok:
        yield Finding("ok", "settings", "all settings are valid")
    return values


def _check_services(options: argparse.Namespace, checks: Iterable[str], values: Mapping[str, str]) -> Iterator[Finding]:
    from doctor import auth0, callout, dns, logs, secrets, sendgrid  # noqa: PLC0415
    from doctor.context import CheckContext  # noqa: PLC0415

    settings = load(config.sending_environment(values, options.project), languages=available())
    tenant, token = tenant_name(os.environ.get("AUTH0_DOMAIN", "")), os.environ.get("GOOGLE_ACCESS_TOKEN", "")
    context = CheckContext(values, settings, options.url, tenant, token)
    if options.resolver:
        context.resolver = options.resolver
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
