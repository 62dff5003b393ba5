"""Forwarding to other Application Entities, and storage commitment."""

from typing import Annotated, ClassVar

from pydantic import Field

from veritag.settings.field_types import Peers, Section


class DeliverySettings(Section):
    """Forwarding to other Application Entities, and storage commitment."""

    title: ClassVar[str] = "Delivery"

    peers: Peers = Field(
        (),
        description="Other Application Entities, each as `[NAME=]AE_TITLE@HOST:PORT` with "
        "`;forward`, `;tls` and more (docs/delivery.md): each may request storage "
        "commitment; those with `;forward` receive what is received here.",
    )
    forward_attempts: int = Field(
        5,
        ge=1,
        le=100,
        description="Refusals of an instance by a destination after which it is parked.",
    )
    commitment_hours: Annotated[float, Field(gt=0)] = Field(
        72.0,
        description="Hours after which an undelivered report of storage commitment is "
        "given up.",
    )
