"""HTTP ports of health and metrics, and the log level."""

from typing import ClassVar, Literal

from pydantic import Field

from veritag.settings.field_types import Port, Section


class MonitoringSettings(Section):
    """HTTP ports of health and metrics, and the log level."""

    title: ClassVar[str] = "Health, metrics and logs"

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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )
