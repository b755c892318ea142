"""The audit: compare every password change in Auth0's log with the notices in SendGrid's log."""

import sys

try:
    from datetime import UTC  # noqa: F401  (since Python 3.11)

    import requests  # noqa: F401
except ImportError as error:  # Python's own exit status is 1, which means that something is missing
    print(f"audit: {error}: run it with .venv/bin/python", file=sys.stderr)
    sys.exit(2)
