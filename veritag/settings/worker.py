"""Inspection: the bundle, decoding limits and attempts."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from veritag.settings.field_types import Section


class WorkerSettings(Section):
    """Inspection: the bundle, decoding limits and attempts."""

    title: ClassVar[str] = "Worker"

    bundle_dir: Path | None = Field(
        None,
        description="One bundle, or the folder of bundles whose `active` file names the one in "
        "use; default: bundles/ in the data directory, else the starter bundle.",
    )
    require_gpu: bool = Field(
        False, description="Refuse to be ready unless ONNX Runtime runs on CUDA."
    )
    decode_threads: int = Field(
        2, ge=1, le=64, description="Threads that decode pixels."
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="Attempts before an instance becomes a dead letter."
    )
    max_frame_mb: int = Field(
        1024, ge=1, description="Decoded size in MB above which a frame is refused."
    )
    decode_seconds: Annotated[float, Field(gt=0, le=100)] = Field(
        60.0,
        description="Limit in seconds for decoding one compressed or large file.",
    )
    decode_memory_mb: int = Field(
        4096,
        ge=64,
        description="Limit of memory in MB for decoding one such file, for each of the "
        "decode_threads. Linux only.",
    )
    body_parts_file: Path | None = Field(
        None,
        description="TOML file of the site's own spellings of body parts (docs/tags.md); "
        "default: none.",
    )
