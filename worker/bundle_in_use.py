"""The bundle in use: loaded at start, replaced between two messages."""

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

    A new bundle is loaded beside the old one. Where it is rejected, the old one stays in
    use, and `problem` has the reason.
    """

    def __init__(self, bundles_dir: Path, records: Records) -> None:
        self._bundles_dir = bundles_dir
        self._records = records
        self._loaded: tuple[Path, int] | None = None
        self._rejected: tuple[Path, int] | None = None
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
            If there is no usable one.
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
        version = path, manifest.stat().st_mtime_ns if manifest.is_file() else 0
        if version == self._loaded:
            self.problem = None
        elif version != self._rejected:
            # Set first: a bundle that fails is not loaded again at each message.
            self._rejected = version
            self._use(Model(load_bundle(path)), version)

    def _use(self, model: Model, version: tuple[Path, int]) -> None:
        self._loaded, self._rejected, self._model = version, None, model
        self._registered, self.problem = False, None
        _announce(model)

    def _reject(self, problem: str) -> None:
        if problem != self.problem:
            log.error("bundle_rejected", reason=problem)
        self.problem = problem

    def _register(self, model: Model) -> None:
        if self._registered:
            return
        try:
            register_bundle(self._records, model.bundle)
            self._registered = True
        except RecordsUnavailable:
            # Tried again at the next message: storing verdicts would fail as well.
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
