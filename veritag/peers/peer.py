"""The peers of the settings, which get commitment reports and forwarded instances.

One line describes one peer, in a variable as in TOML:

    SCANNER1@10.1.2.3:104
    pacs=PACS@pacs.example:11112;forward;tls;modality=CT|MR;calling=SCANNER1|SCANNER2
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# An AE title cannot contain the separators of a line.
_AE_TITLE = r"[^\\\x00-\x1f\x7f,;@=|]{1,16}"
_LINE = re.compile(
    rf"(?:(?P<name>[A-Za-z0-9_.-]{{1,32}})=)?(?P<ae_title>{_AE_TITLE})"
    r"@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})\Z"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}\Z")
_FLAGS = ("forward", "tls")
_LISTS = {"modality": "modalities", "calling": "calling_ae_titles"}
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Peer:
    """An Application Entity to which Veritag opens associations.

    Attributes
    ----------
    name
        Name in pages and metrics.
    forward
        Whether it gets received instances.
    modalities, calling_ae_titles
        Filter of the instances; all pass an empty one.
    since
        Instances received from this time on are queued, even those from before it became
        a destination.
    """

    name: str
    ae_title: str
    host: str
    port: int
    forward: bool = False
    tls: bool = False
    modalities: tuple[str, ...] = ()
    calling_ae_titles: tuple[str, ...] = ()
    since: datetime | None = None
    # As written in the settings: `veritag config` shows it.
    line: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.line

    def wants(self, modality: str | None, calling_ae_titles: Iterable[str]) -> bool:
        """Whether an instance of this modality, received from these AE titles, is for it."""
        if self.modalities and modality not in self.modalities:
            return False
        titles = set(self.calling_ae_titles)
        return not titles or not titles.isdisjoint(calling_ae_titles)


def read_peers(value: object) -> tuple[Peer, ...]:
    """Read peers: `A@host:1,B@host:2`, or a list of such lines.

    Raises
    ------
    ValueError
        With the line that cannot be read, and why.
    """
    lines = value.split(",") if isinstance(value, str) else value
    if not isinstance(lines, (list, tuple)):
        raise ValueError("expected a list of lines such as PACS@10.0.0.5:104")  # noqa: TRY004 - pydantic's way
    peers = tuple(_peer(line) for line in lines if not _is_blank(line))
    _require_distinct("name", (peer.name for peer in peers))
    return peers


def _is_blank(line: object) -> bool:
    return isinstance(line, str) and not line.strip()


def _peer(line: object) -> Peer:
    if isinstance(line, Peer):
        return line
    address, *options = (part.strip() for part in str(line).split(";"))
    match = _LINE.match(address)
    if match is None:
        raise ValueError(f"{address!r} is not [NAME=]AE_TITLE@HOST:PORT")
    port = int(match["port"])
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"{address!r}: {port} is not a TCP port")
    ae_title = match["ae_title"].strip()
    return Peer(
        name=_name(match["name"], ae_title),
        ae_title=ae_title,
        host=match["host"].strip("[]"),
        port=port,
        line=";".join((address, *options)),
        **_options(address, options),
    )


def _name(given: str | None, ae_title: str) -> str:
    name = given or ae_title
    if not _NAME.match(name):
        raise ValueError(
            f"{ae_title!r} cannot serve as a name: write NAME={ae_title}@HOST:PORT "
            "with a name of letters, digits, '_', '.' and '-'"
        )
    return name


def _options(address: str, options: Iterable[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key in _FLAGS and not value:
            values[key] = True
        elif key in _LISTS and value:
            values[_LISTS[key]] = tuple(part.strip() for part in value.split("|"))
        elif key == "since" and value:
            values["since"] = _start_time(address, value)
        else:
            raise ValueError(
                f"{address!r}: {option!r} is none of forward, tls, modality=A|B, "
                "calling=A|B, since=YYYY-MM-DD"
            )
    return values


def _start_time(address: str, value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{address!r}: since={value} is not a date") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _require_distinct(attribute: str, values: Iterable[str]) -> None:
    for value in _repeated(values):
        raise ValueError(f"two peers have the {attribute} {value!r}; give each its own")


def _repeated(values: Iterable[str]) -> Iterator[str]:
    earlier: set[str] = set()
    for value in values:
        if value in earlier:
            yield value
        earlier.add(value)
