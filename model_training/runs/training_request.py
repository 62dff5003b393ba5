"""Request of a training run: configuration, images, machine and output."""

from dataclasses import dataclass
from pathlib import Path

from model_training.network.training_config import TrainingConfig
from veritag.bundles.bundle import ModelBundle


@dataclass(frozen=True)
class TrainingRequest:
    """Request of a training run; see `veritag train --help`.

    Attributes
    ----------
    tensorboard
        Folder for the losses of each pass.
    without
        Patients that are kept out for a check of one's own, by their keys in the
        tables of `images`.
    champion
        Bundle whose cluster ids are continued; None: ids start at 0.
    """

    config: TrainingConfig
    images: tuple[Path, ...] = ()
    data: Path | None = None
    phantoms: int = 0
    out: Path | None = None
    device: str = "auto"
    threads: int = 0
    with_research: bool = False
    without: frozenset[str] = frozenset()
    with_tiles: bool = True
    note: str = ""
    resume: bool = True
    tensorboard: Path | None = None
    champion: ModelBundle | None = None

    @property
    def from_archive(self) -> bool:
        """Whether the archive of a data directory is learnt from."""
        return self.data is not None or not (self.images or self.phantoms)
