"""A retraining: learn from the archive, compare with the champion, promote a better bundle.

The bundle in use, the champion, is replaced by the promotion alone, which is one rename
of a small file: a run that is interrupted or finds the disk full leaves it in use.
"""

import getpass
from collections.abc import Callable
from dataclasses import asdict, dataclass

from model_training.evaluation.evaluation import evaluate_bundle
from model_training.network.training_config import TrainingConfig
from model_training.promotion.champion import champion_in_use, default_config
from model_training.promotion.gate import (
    GateConfig,
    GateDecision,
    decide_promotion,
    undecided,
)
from model_training.promotion.training_child import threads_of
from model_training.runs.disk_guards import (
    full_disk_reported,
    remove_scratch,
    require_bundle_folder,
)
from model_training.runs.run_records import (
    claim_requested_run,
    record_bundle,
    watched_run,
)
from model_training.runs.train_bundle import train_bundle
from model_training.runs.training_request import TrainingRequest
from model_training.snapshots.archive.archive_snapshot import archive_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.reference_set import (
    ReferenceSet,
    images_of_patients,
    reference_set,
)
from model_training.snapshots.snapshot import Snapshot
from veritag.bundles.bundle import ModelBundle
from veritag.bundles.registry import promote
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.records.audit import record_event
from veritag.records.states import RunStatus, RunTrigger
from veritag.records.training.runs import (
    STALE_SECONDS,
    begin_run,
    fail_stale_runs,
    open_run,
    store_gate,
)
from veritag.settings import Settings
from veritag.storage.archive import Archive

log = get_logger()

DIFFERENT_IMAGES = (
    "the two bundles read tiles of different sizes, and not all images of the reference "
    "set could be made in both"
)

Train = Callable[[TrainingRequest, Settings], ModelBundle]


@dataclass(frozen=True)
class Retrained:
    """Result of a retraining."""

    run_id: int
    bundle: ModelBundle
    champion_id: str
    decision: GateDecision


def run_retraining(
    run_id: int | None,
    settings: Settings,
    *,
    config: TrainingConfig | None = None,
    train: Train = train_bundle,
) -> Retrained:
    """Train on the archive, compare with the champion, promote a better bundle.

    Parameters
    ----------
    run_id
        Of a requested run; None for one started by hand.
    config
        See `default_config` for the default.

    Raises
    ------
    StopError
        If there is too little to learn from, or the disk is full; the run is recorded
        as failed, and the champion stays.
    ConfigurationError
        If the setting names one bundle instead of a folder; no run is begun.
    """
    require_bundle_folder(settings.bundles_dir)
    config = config or default_config(settings)
    records = Records.open(settings.records_url)
    try:
        records.migrate()
        configuration = asdict(config)
        if run_id is None:
            _require_no_running_run(records)
            run_id = begin_run(
                records,
                configuration,
                trigger=RunTrigger.HAND,
                reason="veritag retrain",
            )
        else:
            claim_requested_run(records, run_id, configuration)
        with watched_run(records, run_id):
            remove_scratch(settings.bundles_dir)
            return _Retraining(settings, records, config, train, run_id).run()
    finally:
        records.close()


@dataclass(frozen=True)
class _Retraining:
    """The steps of one retraining; see `run_retraining`."""

    settings: Settings
    records: Records
    config: TrainingConfig
    train: Train
    run_id: int

    def run(self) -> Retrained:
        """Carry out all steps."""
        # Drawn before the training, which leaves the patients of the set out.
        reference = self._reference()
        bundle = self._train()
        decision, champion_id = self._decide(bundle, reference)
        # A crash between promotion and records leaves a run without heartbeat, which is
        # failed later; the next run compares with the bundle promoted here.
        if decision.promoted:
            self._promote(bundle)
        self._record(bundle, decision, champion_id)
        return Retrained(self.run_id, bundle, champion_id, decision)

    def _train(self) -> ModelBundle:
        request = TrainingRequest(
            config=self.config,
            device=self.settings.train_device,
            threads=threads_of(self.settings),
            champion=champion_in_use(self.settings),
            with_tiles=self.settings.train_pictures,
            note=f"training run {self.run_id}",
        )
        with full_disk_reported(self.settings.bundles_dir):
            return self.train(request, self.settings)

    def _reference(self) -> ReferenceSet:
        """Return the reference set; `train_bundle` leaves its patients out."""
        return reference_set(
            self.settings.reference_dir,
            self._archive(Preprocessing(size=self.config.size)),
            self.config.seed,
            self.settings.reference_images,
        )

    def _archive(self, preprocessing: Preprocessing) -> Snapshot:
        return archive_snapshot(
            self.records,
            Archive(self.settings.archive_dir),
            self.settings.data_dir,
            preprocessing,
            config=SamplingConfig(seed=self.config.seed),
            max_frame_mb=self.settings.max_frame_mb,
        )

    def _decide(
        self, bundle: ModelBundle, reference: ReferenceSet
    ) -> tuple[GateDecision, str]:
        # Loaded again: another bundle may have been promoted during the training.
        champion = champion_in_use(self.settings)
        if champion is None:
            return undecided("the bundle in use is damaged, promote one by hand"), ""
        images = self._images_for(champion, bundle, reference)
        if images is None:
            return undecided(DIFFERENT_IMAGES), champion.bundle_id
        new_images, old_images = images
        decision = decide_promotion(
            evaluate_bundle(bundle, new_images, seed=self.config.seed),
            evaluate_bundle(champion, old_images, seed=self.config.seed),
            GateConfig.of(self.settings),
        )
        return decision, champion.bundle_id

    def _images_for(
        self, champion: ModelBundle, bundle: ModelBundle, reference: ReferenceSet
    ) -> tuple[Snapshot, Snapshot] | None:
        """Return the reference images as tiles for the new bundle and for the champion.

        None where not all images could be read in both sizes.
        """
        if champion.manifest.preprocessing == bundle.manifest.preprocessing:
            return reference.snapshot, reference.snapshot
        new_images, old_images = (
            images_of_patients(
                self._archive(b.manifest.preprocessing), reference.patients
            )
            for b in (bundle, champion)
        )
        same = new_images.samples == old_images.samples
        return (new_images, old_images) if same else None

    def _record(
        self, bundle: ModelBundle, decision: GateDecision, champion_id: str
    ) -> None:
        outcome = decision.outcome
        # The decision first: no finished run is without one.
        store_gate(self.records, self.run_id, outcome, champion_id, decision.as_json())
        digest = bundle.manifest.lineage["snapshot"]["digest"]
        record_bundle(self.records, self.run_id, bundle, digest)
        log.info(
            "training_decided",
            run_id=self.run_id,
            bundle_id=bundle.bundle_id,
            outcome=outcome,
        )

    def _promote(self, bundle: ModelBundle) -> None:
        promote(self.settings.bundles_dir, bundle.path.name)
        detail = {"bundle_id": bundle.bundle_id, "run_id": self.run_id}
        record_event(self.records, "promotion", getpass.getuser(), detail)


def _require_no_running_run(records: Records) -> None:
    """Refuse to train beside a running run; a run without heartbeat is failed first."""
    fail_stale_runs(records, STALE_SECONDS)
    run = open_run(records)
    if run is not None and run.status == RunStatus.RUNNING:
        raise StopError(
            f"training run {run.run_id} is under way since {run.started_at:%H:%M} UTC: "
            "wait until it ends"
        )
