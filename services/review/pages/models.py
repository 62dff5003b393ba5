"""The page of models: the bundle in use, and the training runs with their outcome."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from services.review.bundle_in_use import bundle_in_use
from services.review.dependencies import ProxyReviewer, RecordsDep, SettingsDep
from services.review.templating import render
from veritag.bundles.manifest import BundleManifest
from veritag.errors import BundleRejected
from veritag.records.states import GateOutcome
from veritag.records.training.runs import TrainingRun, training_run_history
from veritag.settings import Settings

RUNS = 50

OUTCOMES = {
    GateOutcome.PROMOTED: "promoted",
    GateOutcome.KEPT: "not promoted, the previous bundle stays",
    GateOutcome.UNDECIDED: "not decided, the previous bundle stays",
}

pages = APIRouter(default_response_class=HTMLResponse)
api = APIRouter(prefix="/api/v1")


@dataclass(frozen=True, slots=True)
class InUse:
    """The bundle in use, or the problem of reading it."""

    bundle_id: str | None
    created_at: str | None
    clusters: list[tuple[int, str]]
    problem: str | None = None


@pages.get("/models")
def show_models(
    _reviewer: ProxyReviewer, records: RecordsDep, settings: SettingsDep
) -> HTMLResponse:
    """Show the bundle in use and the training runs, newest first."""
    return render(
        "models.html",
        page="models",
        in_use=_in_use(settings),
        runs=training_run_history(records, RUNS),
        outcomes=OUTCOMES,
    )


@api.get("/training-runs")
def get_training_runs(
    _reviewer: ProxyReviewer,
    records: RecordsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[TrainingRun]:
    """Return the training runs with the decision of the gate, newest first."""
    return training_run_history(records, limit)


def _in_use(settings: Settings) -> InUse:
    try:
        bundle = bundle_in_use(settings)
    except (BundleRejected, OSError) as error:
        return InUse(None, None, [], str(error))
    created = bundle.manifest.created_at
    return InUse(bundle.bundle_id, created, _cluster_names(bundle.manifest))


def _cluster_names(manifest: BundleManifest) -> list[tuple[int, str]]:
    """Return id and name of the clusters that have a name, by name."""
    names = [(c.cluster_id, c.name) for c in manifest.clusters if c.name]
    return sorted(names, key=lambda pair: (pair[1], pair[0]))
