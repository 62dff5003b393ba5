"""The champion, which is the bundle in use, and the configuration that follows from it."""

from model_training.network.training_config import TrainingConfig
from veritag.bundles.bundle import ModelBundle, load_bundle, resolve_bundle_path
from veritag.errors import BundleRejected
from veritag.process.logs import get_logger
from veritag.settings import Settings

log = get_logger()


def champion_in_use(settings: Settings) -> ModelBundle | None:
    """Return the bundle in use, None where it is damaged."""
    try:
        return load_bundle(resolve_bundle_path(settings.bundles_dir))
    except BundleRejected as error:
        log.warning("champion_rejected", reason=str(error))
        return None


def default_config(settings: Settings) -> TrainingConfig:
    """Return the default recipe with as many clusters as the champion or the settings.

    With fewer clusters than the champion it would separate kinds less well for that
    reason alone.
    """
    if settings.train_clusters:
        return TrainingConfig(clusters=settings.train_clusters)
    champion = champion_in_use(settings)
    if champion is None:
        return TrainingConfig()
    return TrainingConfig(clusters=len(champion.manifest.clusters))
