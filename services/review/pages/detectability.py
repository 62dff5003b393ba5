"""The page of detectability: which values the bundle in use can judge, and which not."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from services.review.bundle_in_use import bundle_in_use
from services.review.dependencies import ProxyReviewer, SettingsDep
from services.review.explanations import tag_name
from services.review.templating import render
from veritag.bundles.manifest import BundleManifest, Detectability
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import BundleRejected
from veritag.settings import Settings

pages = APIRouter(default_response_class=HTMLResponse)
api = APIRouter(prefix="/api/v1")


@dataclass(frozen=True, slots=True)
class TagTable:
    """Detectability of the values of one tag.

    Attributes
    ----------
    threshold
        None where the tag is not judged at all.
    rows
        The judged values first, then the others, each with the most cases first.
    """

    keyword: str
    name: str
    threshold: float | None
    rows: tuple[Detectability, ...]

    @property
    def shown(self) -> tuple[Detectability, ...]:
        """Rows that are judged by their own results."""
        return tuple(row for row in self._judged if row.right)

    @property
    def as_a_whole(self) -> tuple[Detectability, ...]:
        """Rows that are judged like the whole tag, as no right value was tried."""
        return tuple(row for row in self._judged if not row.right)

    @property
    def silent(self) -> tuple[Detectability, ...]:
        """Rows that are not judged."""
        return tuple(row for row in self.rows if row not in self._judged)

    @property
    def _judged(self) -> tuple[Detectability, ...]:
        rows = self.rows if self.threshold is not None else ()
        return tuple(row for row in rows if row.judged)

    @property
    def cases(self) -> int:
        """Number of cases that the rows rest on."""
        return sum(row.right + row.wrong for row in self.rows)


@dataclass(frozen=True, slots=True)
class DetectabilityAnswer:
    """Detectability of all tags by the bundle in use.

    Attributes
    ----------
    by_value
        Whether the bundle has results for each value; else only thresholds of tags.
    """

    bundle_id: str
    by_value: bool
    tags: tuple[TagTable, ...]


@pages.get("/detectability")
def show_detectability(_reviewer: ProxyReviewer, settings: SettingsDep) -> HTMLResponse:
    """Show which values can be judged and which cannot."""
    answer, problem = None, ""
    try:
        answer = _answer(settings)
    except (BundleRejected, OSError) as error:
        problem = str(error)
    return render("detectability.html", page="models", answer=answer, problem=problem)


@api.get("/detectability")
def get_detectability(
    _reviewer: ProxyReviewer, settings: SettingsDep
) -> DetectabilityAnswer:
    """Return the detectability by tag, received value and Modality."""
    try:
        return _answer(settings)
    except (BundleRejected, OSError) as error:
        raise HTTPException(503, "The bundle in use cannot be read.") from error


def _answer(settings: Settings) -> DetectabilityAnswer:
    bundle = bundle_in_use(settings)
    manifest = bundle.manifest
    tables = tuple(_table(manifest, tag) for tag in JUDGED_TAGS)
    return DetectabilityAnswer(bundle.bundle_id, bool(manifest.detectability), tables)


def _table(manifest: BundleManifest, tag: str) -> TagTable:
    calibration = manifest.calibration.get(tag)
    threshold = calibration.threshold if calibration else None
    rows = _ordered(row for row in manifest.detectability if row.tag == tag)
    return TagTable(tag, tag_name(tag), threshold, rows)


def _ordered(rows: Iterable[Detectability]) -> tuple[Detectability, ...]:
    key = lambda row: (not row.judged, -row.right, row.concept, row.modality)  # noqa: E731
    return tuple(sorted(rows, key=key))
