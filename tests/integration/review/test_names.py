"""Values from the network are text on every page."""

from dataclasses import replace

import pytest

from tests.integration.review import http
from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import WRONG_BODY_PART, ReviewTestbed
from veritag.findings import FindingCode

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}"


@pytest.fixture
def pages(day: ReviewTestbed, serve: Serve) -> list[str]:
    """Every page that shows received values."""
    wrong = replace(WRONG_BODY_PART, observed=HOSTILE)
    other = replace(wrong, code=FindingCode.VALUE_NOT_DEFINED, tag=None)
    study = day.add(
        "MG-BREAST", wrong, other, description=HOSTILE, station_name=HOSTILE
    )
    day.add_dead_letter(HOSTILE, calling=HOSTILE)
    with http.client(base_url=serve()) as client:
        paths = ("/", f"/studies/{study}", "/dead-letters", "/models", "/detectability")
        answers = [client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    return [answer.text for answer in answers]


def test_no_value_becomes_markup(pages: list[str]) -> None:
    """HTML, quotes and template marks in values are shown as text."""
    assert sum("&lt;script&gt;alert(1)" in page for page in pages) >= 3
    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "49" not in page.split("&lt;script&gt;alert(1)")[-1][:90]
