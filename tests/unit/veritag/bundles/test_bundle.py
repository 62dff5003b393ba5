"""Sealing and loading of bundles."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.manifests import detected, manifest
from veritag.bundles.bundle import (
    MANIFEST,
    MODEL,
    _bundle_id,
    load_bundle,
    resolve_bundle_path,
    seal_bundle,
    starter_bundle_path,
)
from veritag.errors import BundleRejected
from veritag.pixels.preprocessing import Preprocessing

FULL = manifest(
    detectability=(detected("Modality", "CT", "CT"),),
    training={"images": {"unseen": 3}},
    lineage={"parent": None},
)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Return the folder of a sealed bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / MODEL).write_bytes(b"graph")
    (folder / "report.html").write_text("<p>report</p>")
    seal_bundle(folder, FULL)
    return folder


def edit(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest without sealing it anew."""
    body = json.loads((folder / MANIFEST).read_text())
    change(body)
    (folder / MANIFEST).write_text(json.dumps(body))


def test_a_sealed_bundle_reads_back_as_it_was(sealed: Path) -> None:
    """Nothing is lost between sealing and loading."""
    assert load_bundle(sealed).manifest == FULL


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
    """A bundle without its model is refused, and the file is named."""
    (sealed / MODEL).unlink()
    with pytest.raises(BundleRejected, match=MODEL):
        load_bundle(sealed)


def test_an_added_file_is_refused(sealed: Path) -> None:
    """A file that was not sealed is named."""
    (sealed / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleRejected, match=r"unsealed files: extra\.bin"):
        load_bundle(sealed)


def test_a_changed_threshold_is_refused(sealed: Path) -> None:
    """The manifest itself is under the seal."""

    def lower(body: dict[str, object]) -> None:
        body["sharpness"] = 1.5

    edit(sealed, lower)
    with pytest.raises(BundleRejected, match="changed after it was sealed"):
        load_bundle(sealed)


@pytest.mark.parametrize("schema", [0, 2, 3, "1", None])
def test_another_schema_is_refused(sealed: Path, schema: object) -> None:
    """A bundle of another schema is refused with both numbers in one sentence."""
    edit(sealed, lambda body: body.update(schema=schema))
    sentence = f"has schema {schema!r}, this version of Veritag reads schema 1 only"
    with pytest.raises(BundleRejected, match=re.escape(sentence)):
        load_bundle(sealed)


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("clusters", [{"cluster_id": "seven"}], "clusters.0.cluster_id"),
        ("sharpness", None, "sharpness"),
        ("concepts", {"Modality": "CT"}, "concepts.Modality"),
    ],
)
def test_a_sealed_manifest_of_wrong_types_is_refused(
    sealed: Path, field: str, value: object, place: str
) -> None:
    """The seal holds, and the error names the place of the wrong value."""
    body = json.loads((sealed / MANIFEST).read_text())
    body = {**body, field: value}
    del body["bundle_id"]
    body["bundle_id"] = _bundle_id(body)
    (sealed / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(BundleRejected, match=re.escape(f"wrong value at {place}")):
        load_bundle(sealed)


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    """A bundle whose tiles this version cannot make is not loaded."""
    (tmp_path / MODEL).write_bytes(b"graph")
    with pytest.raises(BundleRejected, match="preprocessing version 99"):
        seal_bundle(tmp_path, manifest(preprocessing=Preprocessing(version=99)))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 1}'])
def test_an_unreadable_manifest_is_refused(tmp_path: Path, content: str) -> None:
    """Any other content of bundle.json is rejected."""
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
