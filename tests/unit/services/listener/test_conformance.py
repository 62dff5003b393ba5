"""The conformance statement, which must agree with the code."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from services.listener import store_status
from services.listener.connections.admission import REASONS
from services.listener.presentation_contexts import (
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
)
from services.listener.store_status import Status

DOCS = Path(__file__).resolve().parents[4] / "docs"


@pytest.fixture(scope="module")
def page() -> str:
    """The statement in the repository."""
    return (DOCS / "conformance.md").read_text("utf-8")


@pytest.fixture(scope="module")
def make() -> Callable[[], str]:
    """The function that generates the statement."""
    page: Callable[[], str] = runpy.run_path(str(DOCS / "make_conformance.py"))[
        "conformance_page"
    ]
    return page


def test_the_statement_is_up_to_date(page: str, make: Callable[[], str]) -> None:
    """The page is the one that script, template and code generate."""
    if f"As in pydicom {pydicom.__version__} " not in page:
        pytest.skip("another pydicom knows other SOP Classes and transfer syntaxes")
    assert page == make(), "run: python docs/make_conformance.py"


def test_the_statement_follows_the_code(
    make: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status without a description is an error."""
    monkeypatch.setattr(store_status, "LATER", Status(0xA701, "later"), raising=False)
    with pytest.raises(KeyError, match="later"):
        make()


def test_every_status_and_reason_is_explained(page: str) -> None:
    """The tables contain all statuses of C-STORE and all reasons of refusals."""
    codes = {s.code for s in vars(store_status).values() if isinstance(s, Status)}
    assert [c for c in codes if f"| 0x{c:04X} | " not in page] == []
    assert [r for r in REASONS if f"| `{r}` | " not in page] == []


def test_every_storage_class_and_transfer_syntax_is_listed(page: str) -> None:
    """Each has a row of its own."""
    uids = STORAGE_SOP_CLASSES | TRANSFER_SYNTAXES
    assert [uid for uid in uids if f" | {uid} | " not in page] == []


def test_nothing_is_left_to_fill_in(page: str) -> None:
    """Each name of the template is replaced by its value."""
    assert "{{" not in page
