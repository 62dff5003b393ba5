"""Types of settings: their limits, and how their text is read."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from veritag.peers.peer import Peer, read_peers

NEVER = "never"
"""The schedule by which nothing starts."""


class Section(BaseModel):
    """Settings of one process or theme; `Settings` combines all sections.

    Attributes
    ----------
    title
        Heading of the section in docs/settings.md.
    """

    # A section is never made alone: without this pydantic would compile each one.
    model_config = ConfigDict(defer_build=True)

    title: ClassVar[str]


def _split(value: object) -> object:
    """Read `A,B` from the environment as a list; TOML gives lists already."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _crontab(value: str) -> str:
    """Return a crontab expression or `never` with single spaces; refuse other text."""
    if value.strip() != NEVER:
        # Imported only where a schedule is set: the listener does not need Celery.
        from celery.schedules import ParseException, crontab

        try:
            crontab.from_string(" ".join(value.split()))
        except (ParseException, ValueError, KeyError) as error:
            raise ValueError(
                f"{value!r} is not a crontab expression such as '0 2 * * 0' "
                f"(minute hour day month weekday): {error}"
            ) from error
    return " ".join(value.split())


Crontab = Annotated[str, AfterValidator(_crontab)]
Share = Annotated[float, Field(ge=0, le=1)]
AETitle = Annotated[
    str, Field(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]+$")
]
AETitles = Annotated[tuple[AETitle, ...], NoDecode, BeforeValidator(_split)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")]
HostNames = Annotated[tuple[HostName, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
Port = Annotated[int, Field(ge=0, le=65535)]
SyslogUrl = Annotated[
    str,
    Field(pattern=r"^(udp|tcp|tls)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$"),
]
Seconds = Annotated[float, Field(gt=0)]
Peers = Annotated[tuple[Peer, ...], NoDecode, BeforeValidator(read_peers)]
