"""The Action that runs when a user's password has changed. This is the file to edit."""

from flask import Request, Response

from notice.compose import password_changed
from notice.languages import is_available
from notice.sendgrid import SendGrid
from runtime import Api, Event, Flow, NoticeError, Result, skipped, start

settings = start(is_language=is_available)
flow = Flow(settings)
sendgrid = SendGrid(settings)


@flow.action
def on_execute_post_change_password(event: Event, api: Api) -> Result:  # noqa: ARG001  (Auth0's signature)
    """Email the user that their password has changed."""
    if not event.user.email:
        return skipped("no_email")
    try:
        message = password_changed(event, settings)
        return sendgrid.send(message, key=event.secrets.SENDGRID_API_KEY, callout=event.callout)
    except NoticeError as error:
        print(f"Error sending email to {event.user.email}: {error}")
        raise


# To add another Action to the flow, define another function like this one, with its own @flow.action.


def deliver(request: Request) -> Response:
    """Run one Action for a Cloud Tasks task, as the private service in queue mode."""
    return flow.deliver(request)
