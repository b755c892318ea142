"""What stops a command."""


class DeployError(Exception):
    """Say what happened, and on the following lines what to do."""

    def __init__(self, message: str, *details: str) -> None:
        super().__init__("\n  ".join((message, *details)))


class UnknownError(DeployError):
    """A read whose result is neither a value nor "not found": nothing can be concluded from it."""

    def __init__(self, command: str, cause: str) -> None:
        super().__init__(f"can't read the current state: {command}", cause, "nothing more was changed")
        self.cause = cause

    @property
    def is_denied(self) -> bool:
        """Whether Google rejected the read because of permissions or an API that isn't enabled."""
        return "PERMISSION_DENIED" in self.cause or "does not have permission to access" in self.cause
