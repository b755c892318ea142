"""`python -m doctor`: looks at all that lies between a changed password and a mail, and says what to mend.

Exit status 0: no fault; 1: at least one; 2: called wrongly.
"""

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from doctor import env_file
from doctor.finding import Finding, as_json, is_well
from settings import SettingError, SettingsError, load

USUAL = ("settings", "secrets", "mail", "domain", "callout", "tenant")
RIGHTS = ("rights-setup", "rights-deploy")
CHECKS = (*USUAL, "key", *RIGHTS)


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    findings = []
    for finding in _examine(options):
        findings.append(finding)
        if not options.json and not (options.quiet and finding.level in ("ok", "note")):
            print(finding, file=sys.stderr if options.quiet else sys.stdout, flush=True)
    if options.json:
        print(as_json(findings))
    return 0 if is_well(findings) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="doctor", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of {', '.join(CHECKS)}")
    parser.add_argument("--env", type=Path, default=Path("env.yaml"), help="the settings (env.yaml)")
    parser.add_argument("--url", default="", help="the function's address; without it, it is not called")
    parser.add_argument("--project", default="", help="the Google project, for the rights")
    parser.add_argument("--deployed", action="store_true", help="the settings are whole: deploy.sh wrote them")
    parser.add_argument("--resolver", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong, on standard error")
    options = parser.parse_args(arguments)
    if set(options.checks) - set(CHECKS):
        parser.error(f"the checks are {', '.join(CHECKS)}")
    return options


def _examine(options: argparse.Namespace) -> Iterator[Finding]:
    checks = options.checks or USUAL
    for check in RIGHTS:
        if check in checks:
            yield from _rights(check.removeprefix("rights-"), options.project)
    if set(checks) <= set(RIGHTS):
        return  # the project alone was asked about
    values = yield from _settings(options, told="settings" in checks)
    if values is not None and set(checks) - {"settings", *RIGHTS}:
        yield from _outside(options, checks, values)


def _settings(options: argparse.Namespace, *, told: bool) -> Generator[Finding, None, dict[str, str] | None]:
    """The values of env.yaml; None where they have faults."""
    found: list[SettingError] = []
    try:
        values = env_file.read(options.env)
        found = [] if options.deployed else env_file.faults(values)
        load(env_file.mailing(values, options.project))
    except SettingsError as error:
        found = found or list(error.errors)
    for fault in found:
        yield Finding("fault", "settings", f"{fault.name} {fault.problem}", "the function would not start", fault.fix)
    if found:
        return None
    if told:
        yield Finding("ok", "settings", "they have no faults")
    return values


def _rights(kind: str, project: str) -> Iterator[Finding]:
    from doctor import permissions  # noqa: PLC0415  (the settings are checked without what this needs)

    needed = {"setup": permissions.SETUP, "deploy": permissions.DEPLOY}[kind]
    return permissions.check(project, needed, os.environ.get("GOOGLE_ACCESS_TOKEN", ""))


def _outside(options: argparse.Namespace, checks: Iterable[str], values: Mapping[str, str]) -> Iterator[Finding]:
    from doctor import auth0, callout, dns, secrets, sendgrid  # noqa: PLC0415
    from doctor.context import CheckContext  # noqa: PLC0415

    mailing = load(env_file.mailing(values, options.project))
    case = CheckContext(values, mailing, options.url, os.environ.get("GOOGLE_ACCESS_TOKEN", ""))
    if options.resolver:
        case.resolver = options.resolver
    if "key" in checks:
        yield from secrets.judge_sendgrid_key(case, sys.stdin.read().strip())
        yield from sendgrid.check(case)
        return
    known = list(secrets.check(case))
    yield from known if "secrets" in checks else [finding for finding in known if finding.level == "fault"]
    for name, check in (("mail", sendgrid), ("domain", dns), ("callout", callout), ("tenant", auth0)):
        if name in checks:
            yield from check.check(case)


if __name__ == "__main__":
    sys.exit(main())
