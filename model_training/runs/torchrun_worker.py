"""The further processes of a training that `torchrun` started: they only train."""

from model_training.process.torch_runtime import choose_device
from model_training.runs.training_request import TrainingRequest
from model_training.training.distributed import Ranks, join_ranks
from model_training.training.loop import train
from model_training.training.training_data import TrainingSet
from veritag.errors import StopError


def train_as_worker(request: TrainingRequest) -> bool:
    """Train on the images of the first process; return False in the first process.

    The first process alone reads the images, shows progress, and writes.

    Raises
    ------
    StopError
        If the first process ends before it sends its images.
    """
    device = choose_device(request.device)
    ranks = join_ranks(device)
    if ranks.is_main:
        return False
    training, held_out = _received(ranks), _received(ranks)
    train(training, held_out, request.config, device=device)
    return True


def _received(ranks: Ranks) -> TrainingSet:
    try:
        return ranks.images_from_main(None)
    except RuntimeError as error:
        raise StopError("the first process ended before the training") from error
