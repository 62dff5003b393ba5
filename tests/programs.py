"""Search for programs of other projects that tests and benchmarks run."""

import os
import shutil
import sys
from pathlib import Path


def find_program(name: str) -> str | None:
    """Return the path of a program of the system, or None.

    The running virtual environment is not searched: pynetdicom installs commands there
    that have the names of DCMTK's (`storescu`, `storescp` and others), and an activated
    environment comes first on the PATH. Servers may be in /usr/sbin.
    """
    environment = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = [f for f in folders if f and Path(f) != environment]
    return shutil.which(name, path=os.pathsep.join([*others, "/usr/sbin"]))
