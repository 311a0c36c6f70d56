"""Begin a company with a database that was made ahead of time, where an installation brings one.

Making the tables takes the migrations of two libraries: a second, and 25 MiB that the process keeps
for as long as it runs. An image makes the empty database once, when it is built.
"""

import os
import shutil
import tempfile
from pathlib import Path

READY_MADE = Path(__file__).with_name("fresh.db")
"""An empty company's SQLite file, of the version it lies beside; most installations have none."""


def place(path: Path, *, ready_made: Path = READY_MADE) -> bool:
    """Put the ready-made database where a new company's is to be.

    Whatever stands there already is never touched, also where two processes begin at once.

    Args:
        path: Of the company's SQLite file.
        ready_made: What to copy.

    Returns:
        True where the copy stands there now; False where there is none to copy, or one was there.
    """
    if path.exists() or not ready_made.is_file():
        return False
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        shutil.copyfile(ready_made, name)
        # A link fails where another process was first; a rename would take its place.
        path.hardlink_to(name)
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    return True
