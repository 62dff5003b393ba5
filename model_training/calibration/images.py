"""EmbeddedImages as a model of tags takes them: what the network makes of them, and their tags."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.cluster_model import Values
from model_training.calibration.numeric_tags import Numbers
from veritag.judging.tag_probabilities import Floats


@dataclass(frozen=True)
class EmbeddedImages:
    """EmbeddedImages as a model takes them.

    Attributes
    ----------
    embedding, statistics
        Of shape (n, D) and (n, S).
    values
        Keyword to normalized values, empty where missing, of shape (n,).
    numbers
        Keyword of a numeric tag to its values, NaN where missing, of shape (n,).
    """

    embedding: Floats
    statistics: Floats
    values: Values
    numbers: Numbers = field(default_factory=dict)

    def part(self, chosen: NDArray[np.bool_]) -> "EmbeddedImages":
        """Return some of the images, chosen by a mask of shape (n,)."""
        values = {tag: column[chosen] for tag, column in self.values.items()}
        numbers = {tag: column[chosen] for tag, column in self.numbers.items()}
        return EmbeddedImages(
            self.embedding[chosen], self.statistics[chosen], values, numbers
        )
