"""Memory allocator, device and speed settings of the training process."""

import os
import sys

# glibc returns the memory of every layer to the system and fetches it again page by
# page; with a high threshold it keeps it, which makes training on a CPU a third faster.
# Pages of 2 MB make it half as fast again.
ALLOCATOR = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def keep_memory() -> None:
    """Restart this process, once, with an allocator that keeps its memory.

    glibc reads the variables when a process starts: setting them here has no effect.
    """
    if not sys.platform.startswith("linux") or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    os.environ.update({**ALLOCATOR, **os.environ})
    # orig_argv holds the interpreter's own arguments: `python -m` works as well.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- ourselves


def choose_device(wanted: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`.

    Raises
    ------
    MissingPart
        If CUDA is wanted and missing.
    """
    import torch

    from veritag.errors import MissingPart

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise MissingPart("--device cuda: this PyTorch finds no CUDA device")
    return "cuda" if wanted in ("auto", "cuda") and available else "cpu"


def tune(device: str) -> None:
    """Let a GPU time its algorithms and use tensor cores."""
    import torch

    if device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
