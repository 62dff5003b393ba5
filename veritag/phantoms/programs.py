"""Finding the programs of other projects that ours is tried with."""

import os
import shutil
import sys
from pathlib import Path


def find_program(name: str) -> str | None:
    """Return the path of a program of the system, or None.

    What lies in the running virtual environment is passed over: pynetdicom installs
    commands with the names of DCMTK's there (`storescu`, `storescp` and others), which
    an activated environment would put first. Servers may lie in /usr/sbin.
    """
    ours = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = [folder for folder in folders if folder and Path(folder) != ours]
    return shutil.which(name, path=os.pathsep.join([*others, "/usr/sbin"]))
