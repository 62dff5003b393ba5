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
        description="Findings of tags that contradict the image that are opened per 1,000 "
        "series, those with the highest scores; 0: all that reach their threshold.",
    )
    review_host: str = Field(
        "127.0.0.1", description="Address the review pages bind to."
    )
    review_port: Port = Field(
        8080, description="TCP port of the review pages and JSON API."
    )
    review_host_names: HostNames = Field(
        (),
        description="Host names under which browsers reach the review pages, besides localhost, "
        "IP addresses and the name of this machine.",
    )
    review_user_header: str | None = Field(
        None, description="HTTP header in which a trusted proxy names the reviewer."
    )
