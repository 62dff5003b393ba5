"""The seal of a bundle."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from veritag.bundles.bundle import (
    MANIFEST,
    MODEL,
    BundleManifest,
    ClusterProfile,
    TagCalibration,
    load_bundle,
    resolve_bundle_path,
    seal_bundle,
    starter_bundle_path,
)
from veritag.errors import BundleRejected
from veritag.pixels.preprocessing import Preprocessing


def manifest(preprocessing: Preprocessing | None = None) -> BundleManifest:
    """Return a manifest of one cluster."""
    return BundleManifest(
        preprocessing=preprocessing or Preprocessing(),
        clusters=(ClusterProfile(7, {"Modality": {"CT": 1.0}}, {"Modality": 3.0}),),
        calibration={
            "Modality": TagCalibration(0.9, (0.0, 1.0), (0.1, 0.9), {"n": 3.0})
        },
        sharpness=4.0,
        novelty_limits=(1.5,),
        created_at="2026-11-22T12:00:00+00:00",
    )


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Return the folder of a sealed bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / MODEL).write_bytes(b"graph")
    (folder / "report.html").write_text("<p>report</p>")
    seal_bundle(folder, manifest())
    return folder


def edit(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest without sealing it anew."""
    body = json.loads((folder / MANIFEST).read_text())
    change(body)
    (folder / MANIFEST).write_text(json.dumps(body))


def test_a_sealed_bundle_reads_back_as_it_was(sealed: Path) -> None:
    """Nothing is lost between sealing and loading."""
    assert load_bundle(sealed).manifest == manifest()


def test_equal_content_has_an_equal_id(sealed: Path, tmp_path: Path) -> None:
    """The id is made from the content, wherever the bundle lies."""
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    assert load_bundle(copy).bundle_id == load_bundle(sealed).bundle_id


@pytest.mark.parametrize("name", [MODEL, "report.html"])
def test_a_changed_file_is_refused(sealed: Path, name: str) -> None:
    """One altered byte breaks the seal, and the file is named."""
    (sealed / name).write_bytes(b"other")
    with pytest.raises(BundleRejected, match=name):
        load_bundle(sealed)


def test_a_missing_file_is_refused(sealed: Path) -> None:
    """A bundle without its model is none."""
    (sealed / MODEL).unlink()
    with pytest.raises(BundleRejected, match=MODEL):
        load_bundle(sealed)


def test_an_added_file_is_refused(sealed: Path) -> None:
    """What was not sealed does not belong to the bundle."""
    (sealed / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleRejected, match=r"unsealed files: extra\.bin"):
        load_bundle(sealed)


def test_a_changed_threshold_is_refused(sealed: Path) -> None:
    """The manifest itself is under the seal."""

    def lower(body: dict[str, object]) -> None:
        body["sharpness"] = 1.0

    edit(sealed, lower)
    with pytest.raises(BundleRejected, match="changed after it was sealed"):
        load_bundle(sealed)


def test_another_schema_is_refused(sealed: Path) -> None:
    """A bundle of a later schema says which one it has."""
    edit(sealed, lambda body: body.update(schema=99))
    with pytest.raises(BundleRejected, match="schema 99"):
        load_bundle(sealed)


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    """A bundle whose tiles this version cannot make is not loaded."""
    (tmp_path / MODEL).write_bytes(b"graph")
    with pytest.raises(BundleRejected, match="preprocessing version 99"):
        seal_bundle(tmp_path, manifest(Preprocessing(version=99)))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 1}'])
def test_an_unreadable_manifest_is_refused(tmp_path: Path, content: str) -> None:
    """Whatever lies in bundle.json, the outcome is a rejection."""
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(BundleRejected):
        load_bundle(tmp_path)


def test_the_active_file_names_the_bundle_in_use(sealed: Path) -> None:
    """`active` chooses among bundles; without it the starter bundle is in use."""
    bundles = sealed.parent
    assert resolve_bundle_path(bundles) == starter_bundle_path()
    (bundles / "active").write_text("bundle\n")
    assert resolve_bundle_path(bundles) == sealed
    (bundles / "active").write_text("gone\n")
    with pytest.raises(BundleRejected, match="gone"):
        resolve_bundle_path(bundles)
