"""The statuses of C-STORE responses."""

from services.listener import store_status
from services.listener.store_status import Status, StoreRefused


def test_the_statuses_are_those_of_the_standard() -> None:
    """Every status is one of PS3.4 table B.2-1 or PS3.7 section 9.1.1."""
    codes = {s.code for s in vars(store_status).values() if isinstance(s, Status)}
    assert codes == {0x0000, 0xA700, 0xA900, 0xC000, 0x0122, 0x0124}


def test_no_status_is_a_warning() -> None:
    """There is no Bxxx status: findings are not reported to the modality."""
    codes = [s.code for s in vars(store_status).values() if isinstance(s, Status)]
    assert not any(code >> 12 == 0xB for code in codes)


def test_an_error_comment_fits_its_element() -> None:
    """Error Comment (0000,0902) is LO: 64 characters at most."""
    assert len(StoreRefused(store_status.NOT_UNDERSTOOD, "x" * 100).comment) == 64
