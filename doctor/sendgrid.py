"""Check SendGrid: the key and its permissions, the region it belongs to, and the sender."""

import os
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

import requests

from doctor import clock
from doctor.context import CheckContext
from doctor.finding import Finding
from doctor.http import request
from notice.compose import password_changed
from notice.sendgrid import OUT_OF_CREDITS, SendGrid, parse_errors
from runtime import event as events
from runtime.callout import Callout
from runtime.errors import NoticeError, Rejected
from runtime.secrets import ActionSecrets, Secret, SecretCache

GLOBAL, EU = "https://api.sendgrid.com", "https://api.eu.sendgrid.com"
OTHER_HOST = {GLOBAL: EU, EU: GLOBAL}
REQUIRED_SCOPE = "mail.send"
# SendGrid adds these to every key.
DEFAULT_SCOPES = {
    "2fa_required",
    "2fa_exempt",
    "sender_verification_eligible",
    "sender_verification_exempt",
    "sender_verification_legacy",
}
REPLACE_KEY = (
    "create one with only the Mail Send permission (Restricted Access) at https://app.sendgrid.com/settings/api_keys, "
    "then: ./deploy.sh rotate-sendgrid-key"
)
REJECTION_FIX = (
    "check SendGrid's IP Access Management and whether the account is allowed to send; if the key is wrong or revoked, "
    + REPLACE_KEY
)
CREDITS_FIX = "upgrade the plan, or wait until the credits are reset: https://app.sendgrid.com/account/billing"
SEND_TIMEOUT_SECONDS = 15.0


def check(context: CheckContext) -> Iterator[Finding]:
    if not context.sendgrid_key:
        return
    response = _get(f"{context.settings.sendgrid_url}/v3/scopes", context.sendgrid_key)
    if response is None:
        what = f"no response from {context.settings.sendgrid_url}"
        fix = "check SENDGRID_URL, and this machine's internet access: firewall, HTTPS_PROXY, REQUESTS_CA_BUNDLE"
        yield Finding("error", "sendgrid", what, "emails can't be sent through SendGrid", fix)
        return
    yield from clock.check(context, response)
    if response.status_code == 200:
        can_send = yield from _check_scopes(context, response)
        if can_send:
            yield from _check_credits(context)
            yield from _check_sender(context)
    else:
        yield from _explain_rejection(context, response)


def _get(url: str, key: str) -> requests.Response | None:
    """Return SendGrid's response, or None if there is none."""
    try:
        return request("GET", url, headers={"Authorization": f"Bearer {key}"})
    except requests.RequestException:
        return None


def _check_scopes(context: CheckContext, response: requests.Response) -> Generator[Finding, None, bool]:
    """Yield a finding, and return whether the key can send email."""
    try:
        scopes = set(response.json()["scopes"])
    except (ValueError, KeyError, TypeError):
        what = f"{context.settings.sendgrid_url} didn't respond as SendGrid does"
        fix = "check SENDGRID_URL, and whether a proxy or firewall responds instead of SendGrid: HTTPS_PROXY"
        yield Finding("error", "sendgrid", what, "emails can't be sent through SendGrid", fix)
        return False
    extra = sorted(scopes - DEFAULT_SCOPES - {REQUIRED_SCOPE})
    if REQUIRED_SCOPE not in scopes:
        what, why = f"the key lacks the permission {REQUIRED_SCOPE}", "SendGrid rejects every email with 403"
        yield Finding("error", "sendgrid", what, why, REPLACE_KEY)
    elif extra:
        what = f"the key has {len(extra)} more permissions than {REQUIRED_SCOPE}, such as {', '.join(extra[:3])}"
        why = (
            "anyone who gets hold of it can do more in the SendGrid account than send email (all, if it's Full Access)"
        )
        yield Finding("warning", "sendgrid", what, why, REPLACE_KEY)
    else:
        yield Finding("ok", "sendgrid", f"the key is valid, and its only permission is {REQUIRED_SCOPE}")
    return REQUIRED_SCOPE in scopes


def _check_credits(context: CheckContext) -> Iterator[Finding]:
    """Check the account's credits, if one of the keys has the permission user.credits.read."""
    for key in (context.sendgrid_key, os.environ.get("SENDGRID_LOGS_KEY", "").strip()):
        response = _get(f"{context.settings.sendgrid_url}/v3/user/credits", key) if key else None
        if response is None or response.status_code != 200:
            continue
        try:
            balance = response.json()
            used_up, next_reset = balance["remain"] <= 0 and balance["overage"] <= 0, balance["next_reset"]
        except (ValueError, KeyError, TypeError):
            continue
        if used_up:
            what = f"the SendGrid account has no credits left; they are reset on {next_reset}"
            yield Finding("error", "sendgrid", what, "SendGrid rejects every email until then", CREDITS_FIX)
        return


def _explain_rejection(context: CheckContext, response: requests.Response) -> Iterator[Finding]:
    host = context.settings.sendgrid_url
    other_host = OTHER_HOST.get(host, "")
    reason = parse_errors(response.content)[0]
    what = f"SendGrid responded {response.status_code}: {reason}"
    if "credits" in reason:
        yield Finding("error", "sendgrid", what, "SendGrid rejects every email", CREDITS_FIX)
        return
    if response.status_code not in (401, 403):
        why = "SendGrid may not be accepting email at the moment"
        yield Finding("error", "sendgrid", what, why, "check https://status.sendgrid.com, and try again later")
        return
    other_response = _get(f"{other_host}/v3/scopes", context.sendgrid_key) if other_host else None
    if other_response is not None and other_response.status_code == 200:
        what = f"the key isn't valid at {host}, but at {other_host}"
        why = "SendGrid's EU and global regions accept only their own keys"
        yield Finding("error", "sendgrid", what, why, f'set SENDGRID_URL to "{other_host}" and deploy')
    else:
        why = "SendGrid may reject every notice too, unless it only rejects this machine's IP address"
        yield Finding("error", "sendgrid", what, why, REJECTION_FIX)


def _check_sender(context: CheckContext) -> Iterator[Finding]:
    """Send the real message in SendGrid's sandbox mode: SendGrid validates it, and no email is sent."""
    try:
        message = password_changed(_build_event(context), context.settings)
        key = Secret(context.sendgrid_key, lambda: Secret(context.sendgrid_key, _fail_refresh))
        client = SendGrid(context.settings, clock=context.clock)
        client.send(message, key=key, callout=_build_callout(context))
    except Rejected as error:
        yield _explain_sender(error.message)
    except NoticeError as error:
        why = "SendGrid may not be accepting email at the moment"
        yield Finding("error", "sender", f"{error.message}: {error.cause}", why, "try again later")
    else:
        what = f"SendGrid accepts the notice from {context.settings.sender_email} (sandbox mode)"
        yield Finding("ok", "sender", what)


def _explain_sender(message: str) -> Finding:
    """Split the client's message, `WHAT (STATUS: REASON). ADVICE`, where the advice can be missing."""
    rejection, separator, advice = message.rpartition("). ")
    what = f"{rejection})" if separator else message.rstrip(".")
    fix = CREDITS_FIX if advice == OUT_OF_CREDITS else advice if separator else "fix what SendGrid reports"
    return Finding("error", "sender", what, "SendGrid would reject every notice the same way", fix)


def _fail_refresh() -> Secret:
    raise AssertionError("a key that was just read must not be read again")


def _build_callout(context: CheckContext) -> Callout:
    time = datetime.fromtimestamp(context.now, UTC)
    deadline = context.clock.monotonic() + SEND_TIMEOUT_SECONDS
    return Callout("msg_doctor", "0" * 64, time, True, sample_event(context), deadline)


def _build_event(context: CheckContext) -> events.Event:
    return events.parse(
        _build_callout(context), ActionSecrets({}, SecretCache(context.settings)), lambda _warning: None
    )


def sample_event(context: CheckContext) -> dict[str, object]:
    """Return an event like Auth0's. Its user is the sender, in case an email ever leaves the sandbox."""
    return {
        "tenant": {"id": context.sample_tenant},
        "connection": {"name": "Username-Password-Authentication"},
        "request": {
            "ip": "192.0.2.44",
            "language": context.settings.default_language,
            "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/130.0.0.0 Safari/537.36",
            "geoip": {"cityName": "Stockholm", "countryCode": "SE", "timeZone": "Europe/Stockholm"},
        },
        "user": {"user_id": "auth0|doctor", "email": context.settings.sender_email, "email_verified": True},
    }
