"""Images of the phantom generator as a source to learn from."""

from collections.abc import Callable, Iterator

from model_training.snapshots.image_sources import patient_key, station_key
from model_training.snapshots.samples import Sample, numbers_of
from model_training.snapshots.snapshot import Snapshot, assemble_snapshot
from veritag.dicom.tags import read_tags
from veritag.phantoms.series import KINDS, phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile, make_tile
from veritag.terms.concepts import normalize

SOURCE = "veritag phantoms"
"""Name of the source in bundles and model cards."""
SLICES = 4
# Tests and the demo use other seeds: the model must not know their phantoms.
SEED = 7_000_003


def phantom_count(patients: int) -> int:
    """Return the number of images of so many synthetic patients of every kind."""
    return patients * SLICES * len(KINDS)


def phantom_snapshot(
    patients: int,
    preprocessing: Preprocessing,
    *,
    on_step: Callable[[int], None] = lambda _: None,
) -> Snapshot:
    """Return a snapshot of so many synthetic patients of every phantom kind."""
    return assemble_snapshot(_draw(patients, preprocessing, on_step), preprocessing)


def _draw(
    patients: int, preprocessing: Preprocessing, on_step: Callable[[int], None]
) -> Iterator[tuple[Tile, Sample]]:
    for kind in KINDS:
        for patient in range(patients):
            series = phantom_series(kind, patient=patient, instances=SLICES, seed=SEED)
            on_step(len(series))
            for ds in series:
                received = read_tags(ds)
                tags = {k: normalize(k, v) for k, v in received.items()}
                yield (
                    make_tile(ds, preprocessing),
                    Sample(
                        tags={k: v for k, v in tags.items() if v},
                        patient=patient_key(SOURCE, f"{kind}-{patient}"),
                        source=SOURCE,
                        license="drawn, Apache-2.0",
                        is_synthetic=True,
                        station=station_key(SOURCE),
                        numbers=numbers_of(received),
                    ),
                )
