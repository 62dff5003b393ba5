"""How the training process uses the machine."""

import os
import sys

# glibc returns the megabytes of every layer to the system and fetches them again, page
# by page: with a high threshold it keeps them, and CPU training is a third faster. It is
# half as fast again where PyTorch may ask for pages of 2 MB.
ALLOCATOR = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def keep_memory() -> None:
    """Start this process anew with an allocator that keeps its memory, once.

    The variables are read when a process starts, so they cannot be set from within.
    """
    if not sys.platform.startswith("linux") or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    os.environ.update({**ALLOCATOR, **os.environ})
    # The interpreter's own words, so that `python -m` and the console script both last.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- ourselves


def choose_device(wanted: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`.

    Raises
    ------
    MissingPart
        If CUDA is wanted and not there.
    """
    import torch

    from veritag.errors import MissingPart

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise MissingPart("--device cuda: this PyTorch finds no CUDA device")
    return "cuda" if wanted in ("auto", "cuda") and available else "cpu"


def tune(device: str) -> None:
    """Let a GPU try which algorithms are fastest, and use its tensor cores."""
    import torch

    if device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
