"""A snapshot of the product's files, as in a container image: a revision doesn't see later edits."""

import shutil
from pathlib import Path

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.core.folder import TemporaryFolder
from emulator.core.source import PARTS


def take_snapshot(source: Path) -> TemporaryFolder:
    """Return a new folder with copies of main.py (`source`) and the product, and links to other files next to main.py.

    Product files that main.py's folder lacks come from this project. Raise OSError if a file can't be copied, for
    example because an editor is replacing it.
    """
    folder = TemporaryFolder("revision-")
    _fill(folder.path, source)
    return folder


def _fill(folder: Path, source: Path) -> None:
    for item in source.parent.absolute().iterdir():
        if item.name in (*PARTS, source.name):
            _copy(item, folder / item.name)
        else:
            (folder / item.name).symlink_to(item)
    for name in PARTS:
        if not (folder / name).exists():
            _copy(PROJECT_ROOT / name, folder / name)


def _copy(item: Path, copy: Path) -> None:
    if item.is_dir():
        shutil.copytree(item, copy)
    else:
        shutil.copy2(item, copy)
