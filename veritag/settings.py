"""The effective settings: `VERITAG_*` variables over one TOML file over defaults.

The TOML file is named by `VERITAG_CONFIG`, else `veritag.toml` in the data directory
where there is one. Everything is validated at start; an unknown key is an error.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from veritag.errors import ConfigurationError
from veritag.peers.peer import Peer, read_peers
from veritag.peers.tls import ClientCertificates
from veritag.terms.lexicon import use
from veritag.terms.site_spellings import read_site_spellings

DEFAULT_DATA_DIR = Path("veritag-data")


def _split(value: object) -> object:
    """Read `A,B` from the environment as a list; TOML gives lists already."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


NEVER = "never"


def _crontab(value: str) -> str:
    """Refuse what is no crontab expression, nor `never`."""
    if value.strip() != NEVER:
        # Only where it is set: the listener has no use for Celery.
        from celery.schedules import ParseException, crontab

        try:
            crontab.from_string(" ".join(value.split()))
        except (ParseException, ValueError, KeyError) as error:
            raise ValueError(
                f"{value!r} is no crontab expression such as '0 2 * * 0' "
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


def config_file() -> Path | None:
    """Return the TOML file in use, None where there is none."""
    named = os.environ.get("VERITAG_CONFIG")
    if named:
        return Path(named)
    default = (
        Path(os.environ.get("VERITAG_DATA_DIR", DEFAULT_DATA_DIR)) / "veritag.toml"
    )
    return default if default.is_file() else None


class Settings(BaseSettings):
    """Every setting with its unit and default."""

    model_config = SettingsConfigDict(
        env_prefix="VERITAG_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(
        DEFAULT_DATA_DIR,
        description="Spool, archive, SQLite records, private broker, bundles.",
    )

    ae_title: AETitle = Field("VERITAG", description="AE title of the Storage SCP.")
    dicom_host: str = Field(
        "0.0.0.0",  # noqa: S104 - scanners reach us over the hospital's network
        description="Address the Storage SCP binds to.",
    )
    dicom_port: Port = Field(11112, description="TCP port of the Storage SCP.")
    dicom_plain: bool = Field(
        True,
        description="Whether that port is open; without it only DICOM TLS is spoken.",
    )
    dicom_tls_port: Port | None = Field(
        None,
        description="TCP port of the Storage SCP for DICOM TLS (registered: 2762); "
        "default: no TLS.",
    )
    dicom_tls_certificate: Path | None = Field(
        None,
        description="PEM file of our certificate, intermediate ones after it. It and the "
        "next three files are read again when they change.",
    )
    dicom_tls_key: Path | None = Field(
        None, description="PEM file of its key; default: in the certificate's file."
    )
    dicom_tls_key_password_file: Path | None = Field(
        None, description="File whose first line decrypts the key."
    )
    dicom_tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign client certificates.",
    )
    dicom_tls_client_certificates: ClientCertificates = Field(
        "required",
        description="Whether a client must show a certificate: required, optional (if it "
        "shows one, it must be valid) or none.",
    )
    allowed_hosts: Networks = Field(
        (),
        description="IP addresses and networks (such as 10.1.2.0/24) that may connect to "
        "the Storage SCP; empty: all.",
    )
    check_called_ae_title: bool = Field(
        False, description="Refuse associations that call another AE title than ours."
    )
    calling_ae_titles: AETitles = Field(
        (), description="Calling AE titles that may associate; empty: all."
    )
    max_associations: int = Field(
        32,
        ge=1,
        le=1000,
        description="Associations served at a time; more are rejected.",
    )
    max_associations_per_host: int = Field(
        0,
        ge=0,
        le=1000,
        description="Associations served at a time for one IP address; 0: no limit but "
        "the one above.",
    )
    max_pdu_bytes: int = Field(
        131_072, ge=4096, le=1 << 24, description="Largest PDU we announce, in bytes."
    )
    reception: Annotated[str, Field(pattern="^(fast|stock)$")] = Field(
        "fast",
        description="How C-STORE data is taken from the network: fast (in place, straight "
        "to disk) or stock (through pynetdicom's own message handling).",
    )
    listener_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that accept associations on the same port (SO_REUSEPORT); "
        "limits on associations hold for each.",
    )
    accept_private_sop_classes: bool = Field(
        False, description="Also accept private and unknown storage SOP classes."
    )
    network_timeout_seconds: Seconds = Field(
        60.0, description="Silence after which an association is aborted."
    )
    stop_grace_seconds: Seconds = Field(
        20.0,
        description="Time on SIGTERM to finish what is being received or inspected.",
    )
    disk_reserve_mb: int = Field(
        512, ge=0, description="Free MB below which C-STORE is refused with 0xA700."
    )

    audit_syslog: SyslogUrl | None = Field(
        None,
        description="Where audit messages go (docs/security.md): udp://, tcp:// or tls:// "
        "with host and port; default: nowhere.",
    )
    audit_tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign the certificate of a tls:// "
        "audit repository; default: those of the operating system.",
    )
    audit_tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate shown to it, the key in it too."
    )
    audit_file: Path | None = Field(
        None,
        description="File to which audit messages are appended, beside or in place of "
        "syslog; default: none.",
    )
    audit_source_id: Annotated[str, Field(max_length=255)] = Field(
        "", description="Audit Source ID of the messages; default: the host's name."
    )
    audit_site: Annotated[str, Field(max_length=255)] = Field(
        "", description="Audit Enterprise Site ID of the messages."
    )

    linger_seconds: Annotated[float, Field(ge=0, le=5)] = Field(
        0.25,
        description="Longest wait for more instances before a message is published.",
    )
    index_poll_seconds: Seconds = Field(
        0.1, description="How often the indexer looks into the spool."
    )

    peers: Peers = Field(
        (),
        description="Other Application Entities, each as `[NAME=]AE_TITLE@HOST:PORT` with "
        "`;forward`, `;tls` and more (docs/delivery.md): who may ask for storage commitment, "
        "and who gets what is received.",
    )
    forward_attempts: int = Field(
        5,
        ge=1,
        le=100,
        description="Refusals of an instance by a destination after which it is parked.",
    )
    commitment_hours: Annotated[float, Field(gt=0)] = Field(
        72.0,
        description="Hours after which a report of storage commitment that its requestor "
        "does not take is given up.",
    )

    database_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the records; default: SQLite in the data directory.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="URL of the Celery broker; default: the private broker of `veritag up`.",
    )
    visibility_timeout_seconds: int = Field(
        600,
        ge=30,
        description="Time after which Redis redelivers a message whose worker fell silent.",
    )

    bundle_dir: Path | None = Field(
        None,
        description="One bundle, or the folder of bundles whose `active` file names the one in "
        "use; default: bundles/ in the data directory, else the starter bundle.",
    )
    require_gpu: bool = Field(
        False, description="Refuse to be ready unless ONNX Runtime runs on CUDA."
    )
    decode_threads: int = Field(
        2, ge=1, le=64, description="Threads that decode pixels."
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="Attempts before an instance becomes a dead letter."
    )
    max_frame_mb: int = Field(
        1024, ge=1, description="Decoded size in MB above which a frame is refused."
    )

    decode_seconds: Annotated[float, Field(gt=0, le=100)] = Field(
        60.0,
        description="Time in seconds after which the reading of one compressed or large "
        "file is ended.",
    )
    decode_memory_mb: int = Field(
        4096,
        ge=64,
        description="Memory in MB that the reading of one such file may take, for each of "
        "the decode_threads. Linux only.",
    )

    body_parts_file: Path | None = Field(
        None,
        description="TOML file of the site's own spellings of body parts (docs/tags.md); "
        "default: none.",
    )

    settle_idle_seconds: Seconds = Field(
        30.0, description="Silence after which a series settles."
    )
    settle_cap_seconds: Seconds = Field(
        900.0,
        description="Age at which a series settles although instances still arrive.",
    )
    retain_days: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="Days since its last reception after which the archive lets go of an "
        "instance that is inspected, settled and without open findings; 0: never.",
    )
    schedule_seconds: Seconds = Field(
        1.0, description="Interval of the scheduler's rounds."
    )
    republish_seconds: Seconds = Field(
        30.0,
        description="Age at which an indexed, uninspected instance is published again.",
    )

    train_schedule: Crontab = Field(
        "0 2 * * 0",
        # pydantic-settings validates defaults: every process would load Celery for this.
        validate_default=False,
        description="When training starts by time, as minute, hour, day of the month, month "
        "and day of the week (0: Sunday) in local time; or `never`.",
    )
    train_least_instances: int = Field(
        2000,
        ge=1,
        description="Inspected instances below which no training is started.",
    )
    train_new_instances: int = Field(
        0, ge=0, description="New instances that start a training; 0: never."
    )
    train_new_decisions: int = Field(
        0, ge=0, description="New review decisions that start a training; 0: never."
    )
    train_drift: Share = Field(
        0.0,
        description="Distance (Jensen-Shannon, 0 to 1) between the clusters of recent series "
        "and those of the bundle's training from which a training is started; 0: never.",
    )
    train_unknown_rise: Share = Field(
        0.0,
        description="Rise of the share of images of unknown kind over that of the bundle's "
        "training from which a training is started; 0: never.",
    )
    train_drift_instances: int = Field(
        1000,
        ge=1,
        description="Recent verdicts below which neither of the two is looked at.",
    )
    train_clusters: int = Field(
        0,
        ge=0,
        le=4096,
        description="Clusters of scheduled training; 0: as many as the bundle in use has.",
    )
    train_device: Annotated[str, Field(pattern="^(auto|cpu|cuda)$")] = Field(
        "auto", description="Where scheduled training runs: auto, cpu or cuda."
    )
    train_pictures: bool = Field(
        True,
        description="Whether bundles of scheduled training hold pictures of their "
        "clusters, for reviewers to compare with; they are of patients of the archive.",
    )
    train_threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads of scheduled training; 0: half of the processors.",
    )
    train_nice: int = Field(
        10, ge=0, le=19, description="Niceness of scheduled training (see nice(1))."
    )
    train_memory_mb: int = Field(
        0,
        ge=0,
        description="Memory in MB over which scheduled training is ended; 0: no limit. "
        "Linux only.",
    )
    train_hours: Annotated[float, Field(gt=0)] = Field(
        12.0, description="Hours after which scheduled training is ended."
    )
    reference_images: int = Field(
        2000,
        ge=1,
        description="Images that the gate's reference set holds at most.",
    )
    gate_least_images: int = Field(
        200,
        ge=1,
        description="Images of the reference set below which the gate does not decide.",
    )
    gate_least_patients: int = Field(
        30,
        ge=2,
        description="Patients of the reference set below which the gate does not decide.",
    )
    gate_flag_change: Share = Field(
        0.1,
        description="Share of the reference's images that a new bundle may flag anew, or "
        "flag no longer, and still be promoted without a person.",
    )

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

    http_host: str = Field(
        "127.0.0.1", description="Address of /metrics, /live and /ready."
    )
    listener_http_port: Port = Field(11181, description="HTTP port of the listener.")
    helper_http_port: Port = Field(
        11191,
        description="HTTP port of the second process of the listener; the next ones follow.",
    )
    indexer_http_port: Port = Field(11182, description="HTTP port of the indexer.")
    worker_http_port: Port = Field(11183, description="HTTP port of the worker.")
    scheduler_http_port: Port = Field(11184, description="HTTP port of the scheduler.")
    trainer_http_port: Port = Field(11185, description="HTTP port of the trainer.")
    delivery_http_port: Port = Field(11186, description="HTTP port of the delivery.")

    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="Least severity that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment over the TOML file; no .env, no secrets folder."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=config_file())
        return init_settings, env_settings, toml

    @property
    def spool_dir(self) -> Path:
        """Folder of received, not yet indexed instances."""
        return self.data_dir / "spool"

    @property
    def archive_dir(self) -> Path:
        """Folder of indexed instances."""
        return self.data_dir / "archive"

    @property
    def pictures_dir(self) -> Path:
        """Folder of small pictures of what the archive no longer holds."""
        return self.data_dir / "pictures"

    @property
    def bundles_dir(self) -> Path:
        """Folder of bundles, or the one bundle that `bundle_dir` names."""
        return self.bundle_dir or self.data_dir / "bundles"

    @property
    def reference_dir(self) -> Path:
        """Folder of the images on which bundles are compared."""
        return self.data_dir / "reference"

    @property
    def sqlite_file(self) -> Path:
        """File of the records where no database URL is set."""
        return self.data_dir / "records.sqlite3"

    @property
    def records_url(self) -> str:
        """SQLAlchemy URL of the records."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.sqlite_file.absolute()}"

    @property
    def message_broker_url(self) -> str:
        """URL of the broker; the private one listens on a socket in the data directory."""
        if self.broker_url:
            return self.broker_url.get_secret_value()
        return f"redis+socket://{(self.data_dir / 'broker' / 'broker.sock').absolute()}"


def load_settings(**overrides: Any) -> Settings:
    """Return the validated settings, and put the site's spellings in use.

    Raises
    ------
    ConfigurationError
        With one line per wrong setting: its name, what is wrong and the value's source.
    """
    named = config_file()
    if named is not None and not named.is_file():
        raise ConfigurationError(f"VERITAG_CONFIG names {named}, which is not a file")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"VERITAG_{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from None
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{named}: {error}") from error
    # Here, for every process that reads tags begins here, offline and training too.
    use(read_site_spellings(settings.body_parts_file))
    return settings
