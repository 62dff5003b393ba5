"""The manifest of a bundle: clusters, calibration, concepts and lineage."""

from dataclasses import dataclass, field
from typing import Any

from veritag.pixels.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class ClusterProfile:
    """One cluster: its id and name, and the tags of the training images in it.

    Attributes
    ----------
    cluster_id
        Stable over retrains; not the index of the model's output.
    profiles
        Keyword of a tag to (normalized value to weight), the q-weighted share of each
        value among the cluster's images that carry the tag; each sums to 1.
    support
        Keyword of a tag to the q-weighted number of images that carry it.
    name
        For people, such as `MR head sagittal`; empty where it has none.
    exemplars
        Numbers of the neighbor images nearest to its center.
    ranges
        Keyword of a numeric tag to the least and the greatest value that its images
        usually carry.
    """

    cluster_id: int
    profiles: dict[str, dict[str, float]]
    support: dict[str, float]
    name: str = ""
    exemplars: tuple[int, ...] = ()
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TagCalibration:
    """Threshold and probabilities of one tag, measured on held-out patients.

    Attributes
    ----------
    threshold
        Least score that is flagged; None where the measurement does not show that the
        model can judge the tag: then it is never flagged.
    score_knots, probability_knots
        Piecewise linear map from score to the probability that the tag is wrong.
    """

    threshold: float | None
    score_knots: tuple[float, ...] = ()
    probability_knots: tuple[float, ...] = ()
    figures: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detectability:
    """How well the model judges one received value on pictures of one Modality.

    Attributes
    ----------
    tag, concept
        The received value, as a concept.
    modality
        The Modality of the pictures; empty where it is not known.
    right, wrong
        Held-out images that rightly carry the value, and that were given it wrongly.
    false_alarms, found
        How many of either are flagged.
    precision
        Share of flags that would be right at the usual rate of errors, with the figures
        of the whole tag standing in where there are few images.
    judged
        Whether the value is judged on such pictures.
    """

    tag: str
    concept: str
    modality: str
    right: int
    wrong: int
    false_alarms: int
    found: int
    precision: float | None
    judged: bool


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """The content of `bundle.json`, without the digests of the files.

    Attributes
    ----------
    clusters
        In the order of the graph's `soft_assignment` output.
    sharpness
        Exponent put on q before clusters are weighed; 1 leaves q as it is.
    concepts
        Keyword to the concepts of the tag, which the columns of the graph's
        `tag_probability` output stand for, tag after tag.
    mixture
        Keyword to the weights of clusters, heads and neighbors in that output.
    familiar
        Novelty up to which tags are flagged; beyond it, up to 1, pictures are ranked
        only.
    correlation
        Keyword to how much the pictures of a series repeat one another, 0 to 1.
    neighbor_concepts
        Keyword to the concept, by its place in `concepts`, that each neighbor image
        carries, -1 for none. Neighbor images are the training images in the graph that
        its `neighbors` output numbers.
    detectability
        What can be judged, by received value and Modality.
    training
        Figures of the training run and of its check on unseen patients.
    lineage
        Snapshot digest, configuration, code version, sources.
    """

    preprocessing: Preprocessing
    clusters: tuple[ClusterProfile, ...]
    calibration: dict[str, TagCalibration]
    sharpness: float
    created_at: str
    concepts: dict[str, tuple[str, ...]]
    mixture: dict[str, dict[str, float]] = field(default_factory=dict)
    familiar: float = 1.0
    correlation: dict[str, float] = field(default_factory=dict)
    neighbor_concepts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    detectability: tuple[Detectability, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
