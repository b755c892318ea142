"""Auth0's SendGrid sample Action in plain Python: one requests.post per callout."""

import os
from typing import Any

import requests
from flask import Request


def on_execute_post_change_password(request: Request) -> tuple[dict[str, str], int]:
    event: dict[str, Any] = request.get_json()
    address, connection = event["user"]["email"], event["connection"]["name"]
    response = requests.post(
        os.environ["SENDGRID_URL"] + "/v3/mail/send",
        json={
            "personalizations": [{"to": [{"email": address}]}],
            "from": {"email": os.environ["SENDER_EMAIL"]},
            "subject": "Your password was changed",
            "content": [
                {
                    "type": "text/plain",
                    "value": f"The password for your {connection} account {address} was recently changed.",
                }
            ],
        },
        headers={"Authorization": "Bearer " + os.environ["SENDGRID_API_KEY"]},
        timeout=10,
    )
    return ({"status": "sent"}, 200) if response.status_code == 202 else ({"status": "failed"}, 503)
