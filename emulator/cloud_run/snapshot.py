"""A snapshot of the product's files, as in a container image: a revision doesn't see later edits."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.core.source import PARTS


def take_snapshot(source: Path) -> "TemporaryDirectory[str]":
    """Return a folder with copies of main.py (`source`) and of the product, and links to what else is next to main.py.

    What main.py's folder lacks of the product is this project's. Raise OSError if a file can't be copied, for example
    because an editor is replacing it.
    """
    folder = TemporaryDirectory(prefix="revision-")
    for item in source.parent.absolute().iterdir():
        copy = Path(folder.name) / item.name
        if item.name in (*PARTS, source.name):
            _copy(item, copy)
        else:
            copy.symlink_to(item)
    for name in PARTS:
        if not (Path(folder.name) / name).exists():
            _copy(PROJECT_ROOT / name, Path(folder.name) / name)
    return folder


def _copy(item: Path, copy: Path) -> None:
    if item.is_dir():
        shutil.copytree(item, copy)
    else:
        shutil.copy2(item, copy)
