"""`python -m audit`: prove that every password change led to a delivered notice, or list those that didn't.

It reads Auth0's tenant log (AUTH0_DOMAIN, AUTH0_TOKEN or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET) and SendGrid's email
log (SENDGRID_LOGS_KEY, SENDGRID_URL), both completely. docs/audit.md explains the variables and each status.

Exit status: 0 if everything is delivered or on its way; 1 if something is missing, bounced, blocked, or dropped; 2 if a
log couldn't be read completely, or the arguments are invalid; 130 after Ctrl-C.
"""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

from audit import auth0_log, callouts, pairing, report, sendgrid_log
from audit.log_client import Period, Unreadable
from audit.options import add_options
from audit.period import InvalidPeriod, parse_period
from runtime.clock import CLOCK, Clock
from settings import exempt_loopback_from_proxies

UNREAD, INTERRUPTED = 2, 130  # exit statuses; 130 is 128 + SIGINT
CLEAR_LINE = "\r\033[K"


def main(
    arguments: list[str] | None = None, *, environment: Mapping[str, str] = os.environ, clock: Clock = CLOCK
) -> int:
    now = datetime.fromtimestamp(clock.now(), UTC)
    options, period = _parse_options(arguments, now)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for what the terminal's encoding lacks
    exempt_loopback_from_proxies()
    try:
        _check_variables(environment, sends=options.send)
        sender = callouts.open_sender(environment, clock=clock) if options.send else None
        result = _audit(environment, period, now, clock)
        if sender:
            result = _send(result, sender)
        print(result.to_json() if options.json else result.to_text(), flush=True)
    except Unreadable as error:
        _show_progress("")
        print(f"audit: {error}", file=sys.stderr)
        return UNREAD
    except KeyboardInterrupt:
        print("\naudit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has closed the output, as in audit --json | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if result.failed else 0


def _parse_options(arguments: list[str] | None, now: datetime) -> tuple[argparse.Namespace, Period]:
    parser = argparse.ArgumentParser(
        prog="audit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter, allow_abbrev=False
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        return options, parse_period(options.since, options.until, now)
    except InvalidPeriod as error:
        parser.error(str(error))


def _check_variables(environment: Mapping[str, str], *, sends: bool) -> None:
    """Raise Unreadable, naming every variable that is missing."""
    names = ["AUTH0_DOMAIN", *_missing_credentials(environment), "SENDGRID_LOGS_KEY"]
    names += [callouts.FUNCTION_URL, callouts.SIGNING_KEY] if sends else []
    missing = [name for name in names if not environment.get(name, "").strip()]
    if missing:
        also = "; ./deploy.sh audit --send finds the function and its key automatically" if sends else ""
        raise Unreadable(", ".join(missing), "not set", f"docs/audit.md says where to get each{also}")


def _missing_credentials(environment: Mapping[str, str]) -> list[str]:
    if environment.get("AUTH0_TOKEN", "").strip():
        return []
    pair = ["AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"]
    is_partly_set = any(environment.get(name, "").strip() for name in pair)
    return pair if is_partly_set else ["AUTH0_TOKEN (or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET)"]


def _audit(environment: Mapping[str, str], period: Period, now: datetime, clock: Clock) -> report.Report:
    auth0 = auth0_log.open_log(environment, clock=clock, on_progress=_show_progress)
    sendgrid = sendgrid_log.open_log(environment, clock=clock, on_progress=_show_progress)
    until_now = (period[0], now)  # so that the notice of a change after the period isn't paired with an earlier change
    changes = auth0_log.read_changes(auth0, until_now)
    emails = sendgrid_log.read_emails(sendgrid, (period[0] - pairing.MAX_CLOCK_SKEW, now))
    audited = [change for change in changes if change.at < period[1]]
    result = report.build(period, audited, pairing.pair(changes, emails))
    if result.missing:
        times = [row.change.at for row in result.missing]
        span = (min(times) - pairing.MAX_CLOCK_SKEW, max(times) + pairing.MAX_EXECUTION)
        failures = pairing.attribute(auth0_log.read_failures(auth0, span), changes)
        ids = [row.change.log_id for row in result.missing]
        result = result.with_reasons({log_id: report.reason(failures.get(log_id)) for log_id in ids})
    _show_progress("")
    return result


def _send(result: report.Report, sender: callouts.Sender) -> report.Report:
    """Send each missing notice, and return the report with the outcomes.

    The latest is sent first, so that its email counts for the user's latest change even if sending stops after it.
    """
    outcomes: dict[str, str] = {}
    try:
        for row in reversed(result.missing):
            _show_progress(f"sending notice {len(outcomes) + 1} of {len(result.missing)}")
            try:
                outcomes[row.change.log_id] = f"the function responded {sender.send(row.change)}"
            except callouts.NotSent as error:
                outcomes[row.change.log_id] = f"not sent: {error}"
                if error.is_general:
                    break
    except KeyboardInterrupt:
        print(f"\naudit: {len(outcomes)} of {len(result.missing)} notices were handled", end="", file=sys.stderr)
        raise
    _show_progress("")
    return result.with_reasons(
        {row.change.log_id: outcomes.get(row.change.log_id, "not sent") for row in result.missing}
    )


def _show_progress(text: str) -> None:
    """Replace the progress line on a terminal; "" clears it."""
    if sys.stderr and sys.stderr.isatty():
        print(f"{CLEAR_LINE}{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:  # noqa: BLE001  (Python's own exit status is 1, which means that something is missing)
        traceback.print_exc()
        sys.exit(UNREAD)
