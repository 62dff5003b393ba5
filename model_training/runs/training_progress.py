"""Progress of a training run on stderr: a bar for each part, remarks, losses."""

from collections.abc import Callable

from rich.progress import Progress

from model_training.network.training_config import TrainingConfig
from model_training.training.loop import EpochFigures


class TrainingProgress:
    """The bar of the passes over the training images.

    Parameters
    ----------
    images
        Training images of one pass.
    write
        Receives the figures of each pass, too.
    """

    def __init__(
        self,
        progress: Progress,
        device: str,
        config: TrainingConfig,
        images: int,
        write: Callable[[EpochFigures], None],
    ) -> None:
        self._progress = progress
        self._title = f"training on {device}"
        self._write = write
        self._images = images
        passes = config.epochs + config.cluster_epochs
        self._bar = progress.add_task(self._title, total=passes * images)

    def advance(self, images: int) -> None:
        """Count images of the current pass."""
        self._progress.advance(self._bar, images)

    def show(self, figures: EpochFigures) -> None:
        """Show and write the figures of a finished pass."""
        self._write(figures)
        self._progress.update(self._bar, description=f"{self._title}: {figures}")
        if not self._progress.console.is_terminal:
            # A log file has no bars: one line a pass shows that the run continues.
            remark(self._progress, str(figures))

    def complete(self, passes: int) -> None:
        """Fill the bar: a training may end with fewer passes than configured."""
        self._progress.update(self._bar, total=passes * self._images)


def steps_bar(progress: Progress, title: str, total: int) -> Callable[[str], None]:
    """Return a function that advances a new bar by a step of a given name."""
    bar = progress.add_task(title, total=total)

    def advance(name: str) -> None:
        progress.update(bar, description=name, advance=1)

    return advance


def remark(progress: Progress, text: str) -> None:
    """Print a line above the bars."""
    progress.console.print(text, highlight=False)
