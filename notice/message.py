"""The message: what the mail says, made from the event and the settings."""

from dataclasses import dataclass

from actions.event import Event
from settings import Settings


@dataclass(frozen=True)
class Message:
    """A mail to one person."""

    to: str
    sender_email: str
    sender_name: str
    reply_to: str
    subject: str
    text: str


def password_changed(event: Event, settings: Settings) -> Message:
    """The notice that the user's password was changed."""
    connection = event.connection.name
    account = f"{connection} account" if connection else "account"
    return Message(
        to=event.user.email or "",
        sender_email=settings.sender_email,
        sender_name=settings.sender_name,
        reply_to=settings.support_contact if "://" not in settings.support_contact else "",
        subject="Your password was changed",
        text=f"The password for your {account} {event.user.email} was recently changed.",
    )
