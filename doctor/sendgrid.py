"""SendGrid: the key and what it may, the host it is for, and the sender."""

from collections.abc import Generator, Iterator
from datetime import UTC, datetime

import requests

from doctor import clock
from doctor.context import SECONDS, CheckContext
from doctor.finding import Finding
from notice.compose import password_changed
from notice.sendgrid import SendGrid
from runtime import event as events
from runtime.callout import Callout
from runtime.errors import NoticeError, Rejected
from runtime.secrets import ActionSecrets, Secret, SecretCache

GLOBAL, EU = "https://api.sendgrid.com", "https://api.eu.sendgrid.com"
OTHER_HOST = {GLOBAL: EU, EU: GLOBAL}
NEEDED = "mail.send"
# What SendGrid adds to every key, asked for or not.
AUTOMATIC = {
    "2fa_required",
    "2fa_exempt",
    "sender_verification_eligible",
    "sender_verification_exempt",
    "sender_verification_legacy",
}
NEW_KEY = (
    "make one with the one permission Mail Send (Restricted Access) at https://app.sendgrid.com/settings/api_keys, "
    "then: ./deploy.sh rotate-sendgrid-key"
)
ONE_MAIL_SECONDS = 15.0


def check(case: CheckContext) -> Iterator[Finding]:
    if not case.sendgrid_key:
        return
    answer = _scopes(case, case.settings.sendgrid_url)
    if answer is None:
        why = f"nothing answers at {case.settings.sendgrid_url}"
        fix = "check SENDGRID_URL, and the way out: firewall, HTTPS_PROXY, REQUESTS_CA_BUNDLE"
        yield Finding("fault", "sendgrid", why, "no mail can be handed over", fix)
        return
    yield from clock.check(case, answer)
    if answer.status_code == 200:
        may_send = yield from _judge_scopes(answer)
        if may_send:
            yield from _judge_sender(case)
    else:
        yield from _judge_refusal(case, answer)


def _scopes(case: CheckContext, host: str) -> requests.Response | None:
    try:
        headers = {"Authorization": f"Bearer {case.sendgrid_key}"}
        return requests.get(f"{host}/v3/scopes", headers=headers, timeout=SECONDS)
    except requests.RequestException:
        return None


def _judge_scopes(answer: requests.Response) -> Generator[Finding, None, bool]:
    scopes = set(answer.json().get("scopes", []))
    more = sorted(scopes - AUTOMATIC - {NEEDED})
    if NEEDED not in scopes:
        yield Finding("fault", "sendgrid", f"the key lacks {NEEDED}", "SendGrid answers 403 to every mail", NEW_KEY)
    elif more:
        what = f"the key may {len(more)} things more than {NEEDED}, such as {', '.join(more[:3])} (Full Access?)"
        why = "who gets hold of it can read and change the SendGrid account, and not only send"
        yield Finding("warning", "sendgrid", what, why, NEW_KEY)
    else:
        yield Finding("ok", "sendgrid", f"the key is good, and may only {NEEDED}")
    return NEEDED in scopes


def _judge_refusal(case: CheckContext, answer: requests.Response) -> Iterator[Finding]:
    here = case.settings.sendgrid_url
    other = OTHER_HOST.get(here, "")
    if answer.status_code not in (401, 403):
        fix = "wait, and look at https://status.sendgrid.com"
        yield Finding("fault", "sendgrid", f"SendGrid answers {answer.status_code}", "no mail is taken now", fix)
        return
    there = _scopes(case, other) if other else None
    if there is not None and there.status_code == 200:
        what = f"the key is not one of {here}, but of {other}"
        fix = f'set SENDGRID_URL to "{other}" and deploy'
        yield Finding("fault", "sendgrid", what, "accounts in the EU and elsewhere know only their own keys", fix)
    else:
        what = "SendGrid does not know the key: it is wrong, or was revoked"
        yield Finding("fault", "sendgrid", what, "SendGrid answers 401 to every mail", NEW_KEY)


def _judge_sender(case: CheckContext) -> Iterator[Finding]:
    """The real message, by the real client, in SendGrid's sandbox: checked as any other, and it goes nowhere."""
    sender = case.settings.sender_email
    try:
        message = password_changed(_event(case), case.settings)
        client = SendGrid(case.settings, clock=case.clock)
        client.send(
            message, key=Secret(case.sendgrid_key, lambda: Secret(case.sendgrid_key, _never)), callout=_callout(case)
        )
    except Rejected as error:
        said, _, advice = error.message.partition("). ")
        yield Finding(
            "fault", "sender", f"{said})", "every notice would be refused alike", advice or "mend what it names"
        )
    except NoticeError as error:
        yield Finding("fault", "sender", f"{error.message}: {error.cause}", "no mail is taken now", "try again later")
    else:
        yield Finding("ok", "sender", f"SendGrid takes the notice from {sender} (in its sandbox)")


def _never() -> Secret:
    raise AssertionError("a key that was just read is not read anew")


def _callout(case: CheckContext) -> Callout:
    moment = datetime.fromtimestamp(case.now, UTC)
    ends = case.clock.monotonic() + ONE_MAIL_SECONDS
    return Callout("msg_doctor", "0" * 64, moment, True, sample(case), ends)


def _event(case: CheckContext) -> events.Event:
    return events.parse(_callout(case), ActionSecrets({}, SecretCache(case.settings)), lambda _odd: None)


def sample(case: CheckContext) -> dict[str, object]:
    """An event as Auth0 makes them; the user is the sender, should a mail ever leave the sandbox."""
    return {
        "tenant": {"id": min(case.settings.allowed_tenants, default="doctor")},
        "connection": {"name": "Username-Password-Authentication"},
        "request": {
            "ip": "192.0.2.44",
            "language": case.settings.default_language,
            "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/130.0.0.0 Safari/537.36",
            "geoip": {"cityName": "Stockholm", "countryCode": "SE", "timeZone": "Europe/Stockholm"},
        },
        "user": {"user_id": "auth0|doctor", "email": case.settings.sender_email, "email_verified": True},
    }
