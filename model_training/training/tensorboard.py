"""Losses of each pass for TensorBoard."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_training.training.trained import EpochFigures
from veritag.errors import MissingPart


@contextmanager
def epoch_writer(folder: Path | None) -> Iterator[Callable[[EpochFigures], None]]:
    """Yield a function that writes the figures of a pass; without a folder it does nothing.

    Each part of the training has its own curves: `encoder/tags`, `clusters/pairwise`.

    Raises
    ------
    MissingPart
        If there is a folder, but TensorBoard is not installed.
    """
    if folder is None:
        yield lambda _: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPart(
            "--tensorboard needs the package tensorboard: "
            "pip install 'veritag[training,tensorboard]'"
        ) from error

    with SummaryWriter(str(folder)) as writer:

        def write(figures: EpochFigures) -> None:
            values = {
                **figures.terms,
                "held_out": figures.held_out,
                "changed": figures.changed,
                "empty": figures.empty,
            }
            for name, value in values.items():
                if value is not None:
                    writer.add_scalar(f"{figures.part}/{name}", value, figures.epoch)
            writer.flush()

        yield write
