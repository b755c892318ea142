"""Check that the two logs that the audit compares can be read."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from audit import auth0_log, sendgrid_log
from audit.log_client import Unreadable
from auth0.management_api import REQUIRED, is_configured
from doctor.context import CheckContext
from doctor.finding import Finding

PERIOD = timedelta(minutes=1)  # as little as possible: a read of it needs the same scope and plan


def check(context: CheckContext) -> Iterator[Finding]:
    now = datetime.fromtimestamp(context.now, UTC)
    period = (now - PERIOD, now)
    if is_configured(os.environ):
        yield _check("Auth0's log", lambda: auth0_log.read_changes(auth0_log.open_log(os.environ), period))
    else:
        yield Finding("skipped", "logs", f"Auth0's log, which the audit reads, wasn't checked: {REQUIRED}")
    if os.environ.get("SENDGRID_LOGS_KEY"):
        environment = {**os.environ, "SENDGRID_URL": context.settings.sendgrid_url}
        yield _check("SendGrid's log", lambda: sendgrid_log.read_emails(sendgrid_log.open_log(environment), period))
    else:
        what = "SendGrid's log, which the audit reads, wasn't checked: set SENDGRID_LOGS_KEY (docs/audit.md)"
        yield Finding("skipped", "logs", what)


def _check(name: str, read: Callable[[], object]) -> Finding:
    try:
        read()
    except Unreadable as error:
        what, fix = f"{name} can't be read: {error.problem}", f"{error.variable}: {error.fix}"
        return Finding("warning", "logs", what, "the audit can't show which notices were delivered", fix)
    return Finding("ok", "logs", f"{name} can be read, so ./deploy.sh audit can compare changes with notices")
