"""Memory of the idle listener: packages that it does not load, pages that it gives back."""

import ctypes
import gc
import sys

# Optional packages of our libraries. Of pydicom: pixel arrays, decoders, download of test
# files. Of structlog: colours. Loaded, they take 45 MB and half a second.
UNNEEDED_PACKAGES = (
    "numpy",
    "PIL",
    "gdcm",
    "pylibjpeg",
    "openjpeg",
    "libjpeg",
    "rle",
    "jpeg_ls",
    "requests",
    "rich",
)


def skip_unneeded_packages() -> None:
    """Let imports of optional packages fail; call before pydicom is imported.

    None in `sys.modules` raises ModuleNotFoundError at import, as if the package were not
    installed. A package that is loaded already stays.
    """
    for name in UNNEEDED_PACKAGES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def settle_memory() -> None:
    """Free what the start took and left, and spare the rest the garbage collector."""
    gc.collect()
    # The collector runs every few seconds; modules and classes never become garbage.
    gc.freeze()
    if sys.platform == "linux":
        # To read pydicom's dictionary takes 20 MB that glibc keeps; musl has no such call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
