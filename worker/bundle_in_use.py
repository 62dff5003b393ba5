"""Which bundle makes the verdicts: loaded at start, swapped between two messages."""

from pathlib import Path

from veritag.bundles.bundle import MANIFEST, load_bundle, resolve_bundle_path
from veritag.errors import BundleRejected, RecordsUnavailable
from veritag.process.logs import get_logger
from veritag.process.metrics import BUNDLE, PROVIDER
from veritag.records import Records
from veritag.records.inspection.bundles import register_bundle
from worker.inference import CPU, CUDA, Model

log = get_logger()


class BundleInUse:
    """The model in use, replaced when `active` names another bundle.

    A new bundle is loaded beside the old one; where it is rejected, the old one goes on
    and `problem` says why.
    """

    def __init__(self, bundles_dir: Path, records: Records) -> None:
        self._bundles_dir = bundles_dir
        self._records = records
        self._loaded: tuple[Path, int] | None = None
        self._refused: tuple[Path, int] | None = None
        self._model: Model | None = None
        self._registered = False
        self.problem: str | None = "no bundle is loaded yet"

    @property
    def provider(self) -> str | None:
        """The execution provider in use, None before a bundle is loaded."""
        return self._model.provider if self._model else None

    def current(self) -> Model:
        """Return the model to use for the next message.

        Raises
        ------
        BundleRejected
            If there is none that can be used.
        """
        try:
            self._refresh()
        except (BundleRejected, OSError) as error:
            self._reject(str(error))
        if self._model is None:
            raise BundleRejected(self.problem or "no bundle")
        self._register(self._model)
        return self._model

    def _refresh(self) -> None:
        path = resolve_bundle_path(self._bundles_dir)
        manifest = path / MANIFEST
        wanted = path, manifest.stat().st_mtime_ns if manifest.is_file() else 0
        if wanted == self._loaded:
            self.problem = None
        elif wanted != self._refused:
            self._refused = wanted
            self._use(Model(load_bundle(path)), wanted)

    def _use(self, model: Model, loaded: tuple[Path, int]) -> None:
        self._loaded, self._refused, self._model = loaded, None, model
        self._registered, self.problem = False, None
        _announce(model)

    def _reject(self, problem: str) -> None:
        if problem != self.problem:
            log.error("bundle_rejected", problem=problem)
        self.problem = problem

    def _register(self, model: Model) -> None:
        if self._registered:
            return
        try:
            register_bundle(self._records, model.bundle)
            self._registered = True
        except RecordsUnavailable:
            # The next message tries again; storing its verdict would fail as well.
            log.warning("bundle_not_registered", bundle_id=model.bundle.bundle_id)


def _announce(model: Model) -> None:
    BUNDLE.clear()
    BUNDLE.labels(model.bundle.bundle_id).set(1)
    for provider in (CPU, CUDA):
        PROVIDER.labels(provider).set(provider == model.provider)
    log.info(
        "bundle_loaded",
        bundle_id=model.bundle.bundle_id,
        provider=model.provider,
        clusters=len(model.bundle.manifest.clusters),
        tile=model.bundle.manifest.preprocessing.size,
    )
