"""The email: its content and how it is sent."""
