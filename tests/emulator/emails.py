"""Sample bodies of POST /v3/mail/send."""

from typing import Any

Json = dict[str, Any]


def simple(**changes: Any) -> Json:
    """Return the smallest valid body; a change to `...` removes a field."""
    body = {
        "personalizations": [{"to": [{"email": "ada@example.org"}]}],
        "from": {"email": "security@example.com"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello."}],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not ...}


def notice(*, sandbox: bool = False) -> Json:
    """Return a security notice with every field that it uses."""
    off = {"enable": False}
    return {
        "personalizations": [{"to": [{"email": "ada@example.org"}]}],
        "from": {"email": "security@example.com", "name": "Acme Sicherheit für alle"},
        "reply_to": {"email": "help@example.com"},
        "subject": "Your password was changed",
        "content": [
            {"type": "text/plain", "value": "The password was changed.\n"},
            {"type": "text/html", "value": "<p>The password was changed.</p>"},
        ],
        "headers": {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
        "custom_args": {"webhook_id": "msg_2026"},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": off,
            "subscription_tracking": off,
            "ganalytics": off,
        },
        "mail_settings": {
            "bypass_unsubscribe_management": {"enable": True},
            "bypass_spam_management": {"enable": True},
            "sandbox_mode": {"enable": sandbox},
        },
    }
