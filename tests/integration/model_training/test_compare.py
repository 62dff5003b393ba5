"""A whole comparison of methods: its results, its report, and what is not run again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model_training.compare.cell import QUICK, Cell
from model_training.compare.run import ComparisonRequest, result_table, run_comparison
from veritag.errors import ConfigurationError

pytestmark = pytest.mark.slow

TINY = replace(QUICK, limit=0, sweep_limit=0, clusters=4, constraints=60)


@pytest.fixture(scope="module")
def compared(labelled_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole comparison of drawn pictures, with one sweep."""
    out = tmp_path_factory.mktemp("compared") / "out"
    budget = replace(TINY, epochs=2, cluster_epochs=1)
    request = ComparisonRequest(
        (labelled_folder,), out=out, only=("table3", "tsne"), budget=budget
    )
    run_comparison(request)
    return out


def test_a_comparison_leaves_table_results_and_report(compared: Path) -> None:
    """There are a page without external resources and all figures as JSON."""
    page = (compared / "report.html").read_text()
    assert "Methods (the paper's Table 3)" in page
    assert "convolutional" in page
    assert "t-SNE (Figure 5)" in page
    assert "Clusters of veritag" in page
    assert page.count('class="tile"') > 4
    assert "http" not in page.replace("http://www.w3.org", "")
    cells = json.loads((compared / "compare.json").read_text())["cells"]
    assert {c["row"] for c in cells.values()} >= {"PCA, k-means", "idec", "veritag"}
    for cell in cells.values():
        assert "failed" in cell or -1 <= cell["parts"]["all"]["silhouette"] <= 1


def test_a_finished_cell_is_not_run_again(
    compared: Path, labelled_folder: Path
) -> None:
    """The same command keeps the results, with the seconds of the first run."""
    before = json.loads((compared / "compare.json").read_text())["cells"]
    budget = replace(TINY, epochs=2, cluster_epochs=1)
    again = ComparisonRequest(
        (labelled_folder,), out=compared, only=("table3",), budget=budget
    )
    store = run_comparison(again)
    assert store.cells == before
    shown = result_table(store)
    assert shown.row_count == len(before)
    assert "t-SNE (Figure 5)" in (compared / "report.html").read_text()


def test_results_of_other_images_are_not_mixed(
    compared: Path, labelled_folder: Path
) -> None:
    """Continuing with fewer images in the same folder is refused."""
    other = ComparisonRequest(
        (labelled_folder,), out=compared, budget=replace(TINY, limit=3)
    )
    with pytest.raises(ConfigurationError, match="other images"):
        run_comparison(other)


def test_a_time_limit_leaves_the_rest_for_later(
    labelled_folder: Path, tmp_path: Path
) -> None:
    """With no time no cell runs, and the report is still written."""
    request = ComparisonRequest(
        (labelled_folder,), out=tmp_path, budget=TINY, minutes=0
    )
    store = run_comparison(request)
    assert store.cells == {}
    assert (tmp_path / "report.html").is_file()


def test_sweeps_are_drawn_beside_their_tables(
    labelled_folder: Path, tmp_path: Path
) -> None:
    """Results of each sweep become a plot and a table."""
    request = ComparisonRequest(
        (labelled_folder,), out=tmp_path, budget=TINY, minutes=0
    )
    store = run_comparison(request)
    figures = {
        "nmi_region": 0.5,
        "nmi_modality": 0.4,
        "clusters": 5.0,
        "hs_region": 0.1,
    }
    result = {"digest": "d", "seconds": 1.0, "parts": {"all": figures}, "intervals": {}}
    for sweep, x in (("k", 5.0), ("k", 10.0), ("constraints", 500.0), ("gamma", 0.1)):
        store.add(Cell(sweep, "paper", 1, x=x, labelled=0.3), result)
    run_comparison(request)
    page = (tmp_path / "report.html").read_text()
    assert "Table 1" in page
    assert "Table 2" in page
    assert "30% labelled" in page
    assert page.count('class="plot"') == 3


def test_the_report_escapes_reasons_of_failures(
    labelled_folder: Path, tmp_path: Path
) -> None:
    """Markup in the message of an error is shown as text."""
    request = ComparisonRequest(
        (labelled_folder,), out=tmp_path, budget=TINY, minutes=0
    )
    failure = {"digest": "d", "failed": "<script>1</script>"}
    run_comparison(request).add(Cell("k", "paper", 1, x=5.0), failure)
    run_comparison(request)
    page = (tmp_path / "report.html").read_text()
    assert "k at 5, seed 1: &lt;script&gt;1&lt;/script&gt;" in page
    assert "<script>" not in page
