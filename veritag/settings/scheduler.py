"""Settling of series, retention and republishing."""

from typing import Annotated, ClassVar

from pydantic import Field

from veritag.settings.field_types import Seconds, Section


class SchedulerSettings(Section):
    """Settling of series, retention and republishing."""

    title: ClassVar[str] = "Scheduler"

    settle_idle_seconds: Seconds = Field(
        30.0, description="Time without new instances after which a series settles."
    )
    settle_cap_seconds: Seconds = Field(
        900.0,
        description="Age at which a series settles even if instances still arrive.",
    )
    retain_days: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="Days since its last reception after which the file of an inspected, "
        "settled instance without open findings is deleted; 0: never.",
    )
    schedule_seconds: Seconds = Field(
        1.0, description="Interval of the scheduler's rounds."
    )
    republish_seconds: Seconds = Field(
        30.0,
        description="Age at which an indexed, uninspected instance is published again.",
    )
