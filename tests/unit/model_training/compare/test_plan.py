"""Cells of a comparison, what they share, and the summary over seeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from model_training.compare.cell import QUICK, SWEEPS, TABLE, Cell, CellBudget, K
from model_training.compare.cell_inputs import CellInputs
from model_training.compare.comparison_store import ComparisonStore
from model_training.compare.images.label_noise import with_wrong_tags
from model_training.compare.images.labelled_images import (
    LabelledImages,
    list_labelled,
    read_labelled,
)
from model_training.compare.images.patient_split import split_by_patient
from model_training.compare.methods.run_cell import run_cell
from model_training.compare.plan import ALGORITHMS, FEATURES, GAMMAS, K_VALUES, plan
from model_training.compare.report.summary import figure_of, rows_of, series_of
from veritag.cli import build_app
from veritag.errors import ConfigurationError
from veritag.pixels.preprocessing import Preprocessing
from veritag.terms.concepts import compatible

TINY = replace(QUICK, limit=0, sweep_limit=0, clusters=4, constraints=60)


@pytest.fixture(scope="module")
def data(labelled_folder: Path) -> LabelledImages:
    """Return drawn pictures of four kinds at 32 pixels."""
    return read_labelled(list_labelled(labelled_folder), Preprocessing(size=32))


def test_the_table_holds_every_method_of_the_paper() -> None:
    """Four features by three algorithms, and the models that learn their features."""
    rows = {cell.row for cell in plan(CellBudget(), (TABLE,))}
    assert {f"{f}, {a}" for f in FEATURES for a in ALGORITHMS} <= rows
    assert {"dec", "idec", "paper", "veritag"} <= rows


def test_every_seed_has_its_own_cell() -> None:
    """The table has three seeds, sweeps one; no two cells share a name."""
    cells = plan(CellBudget())
    keys = [cell.key for cell in cells]
    assert len(keys) == len(set(keys))
    assert {c.seed for c in cells if c.sweep == TABLE} == {1, 2, 3}
    assert {c.seed for c in cells if c.sweep == K} == {1}


def test_the_sweeps_take_the_papers_values() -> None:
    """K from 5 to 35 by 5; gamma 0, 0.1, 1, 10 and 100."""
    assert K_VALUES == (5, 10, 15, 20, 25, 30, 35)
    assert GAMMAS == (0.0, 0.1, 1.0, 10.0, 100.0)
    swept = [c.config.clusters for c in plan(CellBudget(), (K,)) if c.config]
    assert set(K_VALUES) <= set(swept)


def test_a_changed_setting_makes_another_cell() -> None:
    """The key stays, the fingerprint differs."""
    one = plan(CellBudget(), (TABLE,))[-1]
    other = plan(replace(CellBudget(), cluster_epochs=3), (TABLE,))[-1]
    assert one.key == other.key
    assert one.digest() != other.digest()


def test_all_methods_of_a_seed_share_their_pairs(data: LabelledImages) -> None:
    """Rows of a table differ only in the method."""
    inputs = CellInputs(split_by_patient(data))
    cells = [c for c in plan(TINY, (TABLE,)) if c.rules == "careful"]
    pairs = {id(inputs.constraints(cell)) for cell in cells if cell.constraints}
    assert len(pairs) == 1


def test_pairs_join_training_images_of_labelled_patients(data: LabelledImages) -> None:
    """With a small labelled share fewer images are in pairs, all of them training images."""
    inputs = CellInputs(split_by_patient(data))
    cell = Cell("constraints", "x", 1, constraints=60)
    every, few = (
        inputs.constraints(cell),
        inputs.constraints(replace(cell, labelled=0.3)),
    )
    touched = [np.unique(c.must_link) for c in (every, few)]
    assert len(touched[1]) < len(touched[0])
    assert touched[0].max() < len(inputs.images.training)


def test_wrong_tags_are_as_many_as_asked_for(data: LabelledImages) -> None:
    """At 30 % about that many modalities are wrong, each incompatible with the true one."""
    poisoned = with_wrong_tags(data.samples, 0.3)
    pairs = [
        (s.tags["Modality"], p.tags["Modality"])
        for s, p in zip(data.samples, poisoned, strict=True)
    ]
    wrong = [(a, b) for a, b in pairs if a != b]
    assert 0.15 < len(wrong) / len(pairs) < 0.45
    assert not any(compatible("Modality", a, b) for a, b in wrong)
    assert with_wrong_tags(data.samples, 0.0) == data.samples


def test_what_is_wrong_at_a_low_rate_is_wrong_at_a_high_one(
    data: LabelledImages,
) -> None:
    """A higher rate keeps the wrong tags of a lower one."""
    few, many = (with_wrong_tags(data.samples, share) for share in (0.1, 0.3))
    for right, a, b in zip(data.samples, few, many, strict=True):
        for tag in ("Modality", "BodyPartExamined"):
            if a.tags.get(tag) != right.tags.get(tag):
                assert b.tags.get(tag) == a.tags.get(tag)


def test_features_with_k_means_find_drawn_kinds(data: LabelledImages) -> None:
    """Four kinds that look different are separated on unseen patients."""
    cell = Cell(
        TABLE, "HOG, k-means", 1, features="HOG", algorithm="k-means", clusters=6
    )
    result, outcome = run_cell(cell, CellInputs(split_by_patient(data)))
    assert outcome is not None
    assert result["parts"]["all"]["nmi_region"] > 0.7
    low, high = result["intervals"]["nmi_region"]
    assert low <= high


def test_a_foreign_file_is_not_taken_for_results(tmp_path: Path) -> None:
    """A compare.json of another format is refused with its path."""
    (tmp_path / "compare.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="not a result of a comparison"):
        ComparisonStore(tmp_path, {"images": []})


def test_means_and_spreads_are_over_seeds() -> None:
    """0.4 and 0.6: mean 0.5, sample standard deviation 0.1414."""
    figure = figure_of([0.4, 0.6])
    assert (figure.mean, figure.spread) == pytest.approx((0.5, 0.1414), abs=1e-4)
    cells = [
        {"row": "a", "x": x, "labelled": 1.0, "parts": {"all": {"nmi_region": v}}}
        for x, v in ((5.0, 0.4), (5.0, 0.6), (10.0, 0.8))
    ]
    assert rows_of(cells)["a"]["nmi_region"].mean == pytest.approx(0.6)
    assert series_of(cells)["a"][5.0]["nmi_region"].seeds == 2
    assert series_of(cells)["a"][10.0]["nmi_region"].shown("nmi_region") == "0.800"
    assert figure.shown("nmi_region") == "0.500 ±0.141"
    assert figure.shown("clusters") == "0.5 ±0.1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "tabel"], "none of table3"),
        (["--size", "50"], "no multiple of 32"),
    ],
)
def test_the_command_refuses_options_that_make_no_sense(
    labelled_folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    """The error names the option, and no image is read."""
    command = ["compare", "--images", str(labelled_folder), "--out", str(tmp_path)]
    result = CliRunner(env={"MALLOC_TRIM_THRESHOLD_": "1"}).invoke(
        build_app(), [*command, *options]
    )
    assert isinstance(result.exception, ConfigurationError)
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_all_sweeps_have_a_plan() -> None:
    """Every value of --only has cells, except t-SNE, which uses those of the table."""
    swept = {cell.sweep for cell in plan(CellBudget())}
    assert set(SWEEPS) - swept <= {"tsne"}
