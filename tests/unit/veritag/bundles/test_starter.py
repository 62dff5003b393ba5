"""The bundle that ships with the package."""

import re

import numpy as np

from tests.real_parts import require
from veritag.bundles.bundle import load_bundle, starter_bundle_path
from veritag.dicom.tags import JUDGED_TAGS

BUNDLE = load_bundle(starter_bundle_path())


def test_it_is_sealed_and_small() -> None:
    """The starter bundle loads, and is a few megabytes."""
    size = sum(p.stat().st_size for p in BUNDLE.path.iterdir())
    assert size < 8_000_000
    assert set(BUNDLE.manifest.calibration) == set(JUDGED_TAGS)


def test_it_flags_what_it_has_shown() -> None:
    """Modality and body part are judged, with a precision of nine in ten or more."""
    for tag in ("Modality", "BodyPartExamined"):
        calibration = BUNDLE.manifest.calibration[tag]
        assert calibration.threshold is not None
        assert calibration.figures["precision"] >= 0.9
        assert calibration.figures["false_alarm_rate"] <= 0.01


def test_its_arrays_agree() -> None:
    """Every neighbor image has one concept or none of each tag, and stable ids are unique."""
    manifest = BUNDLE.manifest
    assert len({c.cluster_id for c in manifest.clusters}) == len(manifest.clusters)
    assert set(manifest.neighbor_concepts) == set(manifest.concepts)
    [count] = {len(carried) for carried in manifest.neighbor_concepts.values()}
    for tag, carried in manifest.neighbor_concepts.items():
        assert set(carried) <= set(range(-1, len(manifest.concepts[tag])))
    assert all(0 <= e < count for c in manifest.clusters for e in c.exemplars)


def test_it_says_what_it_can_judge() -> None:
    """Each judged tag has rows of values and Modalities, most of them judged."""
    rows = BUNDLE.manifest.detectability
    assert {row.tag for row in rows} == {"Modality", "BodyPartExamined"}
    assert sum(row.judged for row in rows) > 0.8 * len(rows)
    assert all(0 <= row.false_alarms <= row.right for row in rows)


def test_its_card_names_every_source() -> None:
    """Each source of the snapshot stands in the card with its count; none is research."""
    card = (BUNDLE.path / "MODEL_CARD.md").read_text()
    sources = BUNDLE.manifest.lineage["snapshot"]["sources"]
    assert len(sources) > 20
    for source in sources:
        row = f"| {source['source']} | {source['license']} | {source['images']} |"
        assert row in card
        assert source["license"] != "research"


def test_it_names_no_path_of_the_machine_that_made_it() -> None:
    """Neither manifest nor card nor report holds an absolute path."""
    for name in ("bundle.json", "MODEL_CARD.md", "report.html"):
        text = (BUNDLE.path / name).read_text()
        text = re.sub(r'src="data:[^"]*"', "", text)
        assert not re.search(r"(?<![\w./])/(home|work|tmp|root|Users)/", text)


def test_noise_is_unknown_to_it() -> None:
    """Noise and a checkerboard are pictures of an unknown kind."""
    from importlib.util import find_spec

    require(find_spec("onnxruntime"), "ONNX Runtime is not installed")
    import onnxruntime

    size = BUNDLE.manifest.preprocessing.size
    noise = np.random.default_rng(1).integers(0, 256, (20, size, size))
    board = np.indices((1, size, size)).sum(0) // 8 % 2 * 255
    tiles = np.concatenate([noise, board]).astype(np.uint8)
    session = onnxruntime.InferenceSession(
        str(BUNDLE.model_path), providers=["CPUExecutionProvider"]
    )
    (novelty,) = session.run(["novelty"], {"tiles": tiles})
    assert (novelty > 1).all()
