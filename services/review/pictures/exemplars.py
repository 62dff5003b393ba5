"""Pictures of clusters: training images near their centers."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Response

from services.review.bundle_in_use import exemplars_file
from services.review.dependencies import SettingsDep, proxy_reviewer
from veritag.errors import BundleRejected
from veritag.records.review.study import RecordedFinding
from veritag.settings import Settings

router = APIRouter(dependencies=[Depends(proxy_reviewer)])

BundleId = Annotated[str, Path(pattern=r"^vb-[0-9a-f]{16}$")]
ClusterId = Annotated[int, Path(ge=0, lt=1 << 31)]


@router.get("/exemplars/{bundle_id}/{cluster_id}.png", response_class=Response)
def exemplars(
    bundle_id: BundleId, cluster_id: ClusterId, settings: SettingsDep
) -> Response:
    """Return the pictures nearest to a cluster's center, side by side."""
    try:
        file = exemplars_file(settings, bundle_id, cluster_id)
    except (BundleRejected, OSError):
        file = None
    if file is None:
        raise HTTPException(404, "There are no pictures of this cluster.")
    # A sealed bundle never changes under its id.
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(file.read_bytes(), 200, headers, "image/png")


def exemplars_address(settings: Settings, finding: RecordedFinding) -> str | None:
    """Return the address of the pictures of a finding's heaviest cluster, None without."""
    cluster = _heaviest(finding.evidence.get("clusters"))
    if cluster is None:
        return None
    try:
        file = exemplars_file(settings, finding.bundle_id, cluster)
    except (BundleRejected, OSError):
        return None
    return f"/exemplars/{finding.bundle_id}/{cluster}.png" if file else None


def _heaviest(clusters: Any) -> int | None:
    if not isinstance(clusters, list) or not clusters:
        return None
    cluster = clusters[0].get("cluster") if isinstance(clusters[0], dict) else None
    return cluster if isinstance(cluster, int) else None
