"""Pages made from templates."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from model_training.evaluation.evaluation import Evaluation
from model_training.process.html_page import render_page

PACKAGE = "model_training.evaluation"


def evaluation(bundle_id: object) -> dict[str, object]:
    """Return the values of the evaluation's page, with empty tables."""
    return {
        "evaluation": Evaluation(str(bundle_id), 1, 1, {}, {}, (), None, None),  # type: ignore[arg-type]
        "figures": [],
        "tag_headings": [],
        "tags": [("<b>", "1"), (Markup("<i>"), "2")],
        "clusters": [],
    }


def test_values_are_escaped_except_markup() -> None:
    """Names from files cannot bring HTML of their own."""
    page = render_page(PACKAGE, "evaluation.html", **evaluation("<script>"))
    assert "&lt;script&gt;" in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "<td><i></td>" in page
    assert page.startswith("<!doctype html>")


def test_a_value_that_is_missing_is_an_error() -> None:
    """A page is never rendered with an empty place."""
    values = evaluation("vb-1")
    del values["tags"]
    with pytest.raises(UndefinedError):
        render_page(PACKAGE, "evaluation.html", **values)
