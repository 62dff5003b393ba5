"""Images as calibration uses them: network outputs and tags, no pixels."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_training.tag_model.cluster_model import Values
from model_training.tag_model.fit_numeric_ranges import Numbers
from veritag.judging.tag_probabilities import Floats


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings and tags of n images.

    Attributes
    ----------
    embedding
        Of shape (n, D).
    statistics
        Mean and deviation of every channel of the encoder, of shape (n, S).
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
        """Return the images that a mask of shape (n,) chooses."""
        values = {tag: column[chosen] for tag, column in self.values.items()}
        numbers = {tag: column[chosen] for tag, column in self.numbers.items()}
        return EmbeddedImages(
            self.embedding[chosen], self.statistics[chosen], values, numbers
        )
