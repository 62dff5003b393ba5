"""Memory of idle processes: packages that they do not load, pages that they give back."""

import ctypes
import gc
import sys
import threading

# Optional packages of pydicom: decoders of compressed pixels, download of test files.
DECODER_PACKAGES = (
    "PIL",
    "gdcm",
    "pylibjpeg",
    "openjpeg",
    "libjpeg",
    "rle",
    "jpeg_ls",
    "requests",
)
# Optional packages of structlog, Mako and kombu: colours and YAML.
EXTRA_PACKAGES = ("rich", "pygments", "yaml")
# Of a process that neither draws nor decodes; with numpy they take 60 MB and a second.
UNNEEDED_PACKAGES = ("numpy", *DECODER_PACKAGES, *EXTRA_PACKAGES)


def skip_packages(*names: str) -> None:
    """Let imports of optional packages fail; call before the packages that use them.

    None in `sys.modules` raises ModuleNotFoundError at import, as if the package were not
    installed. A package that is loaded already stays.
    """
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def release_memory() -> None:
    """Give back the memory that only the start needed."""
    gc.collect()
    # Modules and classes never become garbage: the collector need not visit them.
    gc.freeze()
    if sys.platform == "linux":
        # glibc keeps freed pages, 20 MB after pydicom's dictionary; musl has no such call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def release_memory_later(seconds: float = 10.0) -> None:
    """Settle the memory after the first connections, which load the drivers."""
    timer = threading.Timer(seconds, release_memory)
    timer.daemon = True
    timer.start()
