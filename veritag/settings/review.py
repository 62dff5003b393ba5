"""Review pages and JSON API."""

from typing import ClassVar

from pydantic import Field

from veritag.settings.field_types import HostNames, Port, Section


class ReviewSettings(Section):
    """Review pages and JSON API."""

    title: ClassVar[str] = "Review"

    review_budget_per_1000: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Contradictions of the image that are opened per 1,000 series, the "
        "best ones; 0: all that reach their threshold.",
    )
    review_host: str = Field(
        "127.0.0.1", description="Address the review pages bind to."
    )
    review_port: Port = Field(
        8080, description="TCP port of the review pages and JSON API."
    )
    review_host_names: HostNames = Field(
        (),
        description="Names by which browsers reach the review pages, beside localhost, "
        "IP addresses and this machine's own name.",
    )
    review_user_header: str | None = Field(
        None, description="HTTP header in which a trusted proxy names the reviewer."
    )
