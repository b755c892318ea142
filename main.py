"""The Action: what happens when a user's password was changed. This is the file to edit."""

from flask import Request, Response

from notice.compose import password_changed
from notice.sendgrid import SendGrid
from runtime import Api, Event, Flow, NoticeError, Result, skipped, start

settings = start()
flow = Flow(settings)
sendgrid = SendGrid(settings)


@flow.action
def on_execute_post_change_password(event: Event, api: Api) -> Result:  # noqa: ARG001  (Auth0's signature)
    """Tell the user, by mail, that the password was changed."""
    if not event.user.email:
        return skipped("no_email")
    try:
        message = password_changed(event, settings)
        return sendgrid.send(message, key=event.secrets.SENDGRID_API_KEY, callout=event.callout)
    except NoticeError as error:
        print(f"Error sending email to {event.user.email}: {error}")
        raise


# A further Action of the flow is a further function like this one, under its own @flow.action.


def deliver(request: Request) -> Response:
    """Queue mode's private side: Cloud Tasks calls it, for one Action at a time."""
    return flow.deliver(request)
