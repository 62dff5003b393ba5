"""The Celery configuration of publishers and workers.

`docs/queue.md` explains it for operators. The records hold the truth: the scheduler
publishes lost messages again. The choices below therefore prefer quick recovery to
guarantees that Redis cannot give.
"""

from typing import Any

from celery import Celery
from kombu.entity import Queue

from veritag.messaging.messages import (
    QUEUE_INSPECTION,
    QUEUE_SETTLING,
    QUEUE_TRAINING,
    TASK_INSPECT,
    TASK_SETTLE,
    TASK_TRAIN,
)
from veritag.settings import Settings

# Longest wait of a publisher for a stopped, frozen (SIGSTOP) or unreachable broker.
CONNECT_SECONDS = 2.0
# Longer than kombu's BRPOP of one second: an idle worker would reconnect at each one.
ANSWER_SECONDS = 5.0


def celery_app(settings: Settings, name: str) -> Celery:
    """Return a Celery application with this configuration.

    Parameters
    ----------
    name
        Of the process, shown in Celery's own log lines.
    """
    # No fixups: by default Celery looks for Django.
    app = Celery(name, set_as_current=False, fixups=[])
    app.conf.update(configuration(settings))
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the Celery settings that differ from the defaults."""
    url = settings.message_broker_url
    return {
        "broker_url": url,
        "broker_transport_options": _transport_options(url, settings),
        **_MESSAGES,
        **_DELIVERY,
        **_CONNECTION,
        **_WORKER,
        # Time to finish after SIGQUIT. After SIGTERM `consume` limits the time.
        "worker_soft_shutdown_timeout": settings.stop_grace_seconds,
    }


# Encoding and routing of messages.
_MESSAGES: dict[str, Any] = {
    # JSON only: a pickle would run code of anyone who can reach the broker.
    "task_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_queues": [
        Queue(QUEUE_INSPECTION),
        Queue(QUEUE_SETTLING),
        Queue(QUEUE_TRAINING),
    ],
    "task_default_queue": QUEUE_INSPECTION,
    "task_routes": {
        TASK_INSPECT: {"queue": QUEUE_INSPECTION},
        TASK_SETTLE: {"queue": QUEUE_SETTLING},
        TASK_TRAIN: {"queue": QUEUE_TRAINING},
    },
    # A misspelt queue name is an error instead of a new queue without a consumer.
    "task_create_missing_queues": False,
    # Results go to the records; there is no result backend.
    "result_backend": None,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "enable_utc": True,
    "timezone": "UTC",
}

# Acknowledgement and redelivery.
_DELIVERY: dict[str, Any] = {
    # Acknowledge after the work: the message of a killed worker is delivered again ...
    "task_acks_late": True,
    # ... also when the kernel killed its child process. The attempts in the records
    # stop a message that kills every worker.
    "task_reject_on_worker_lost": True,
    # A task that raised is acknowledged: the scheduler publishes its instances again.
    "task_acks_on_failure_or_timeout": True,
    # A worker fetches a message only when it is free: one fetched earlier would wait
    # behind a slow one while another worker is idle, and age towards redelivery.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # The publisher retries with its own back-off, not Celery.
    "task_publish_retry": False,
}

# Waiting for the broker, and reconnecting.
_CONNECTION: dict[str, Any] = {
    "broker_connection_timeout": CONNECT_SECONDS,
    # A worker waits for its broker without a limit, also at its start.
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    # One connection for the consumer, one for publishing.
    "broker_pool_limit": 2,
}

# Side tasks of a worker process.
_WORKER: dict[str, Any] = {
    # Veritag configures the log: JSON lines.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # No events and no remote control: metrics come from the records and /metrics.
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "worker_enable_remote_control": False,
    # An inspection continues when the connection breaks: storing a verdict twice changes
    # nothing, inspecting twice costs time.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}


def publisher_options(url: str) -> dict[str, Any]:
    """Return the transport options in which a publisher differs from a worker.

    A publisher does not wait in BRPOP, so its socket timeout is shorter.
    """
    return {} if url.startswith("amqp") else {"socket_timeout": CONNECT_SECONDS}


def _transport_options(url: str, settings: Settings) -> dict[str, Any]:
    if url.startswith("amqp"):
        # Without confirms RabbitMQ may lose a published message without an error.
        return {"confirm_publish": True, "read_timeout": ANSWER_SECONDS}
    return {
        # Redis has no acknowledgements: kombu keeps fetched messages in a hash and
        # delivers those older than this again. Publisher and worker need the same value,
        # which must exceed the longest processing time of a message.
        "visibility_timeout": settings.visibility_timeout_seconds,
        # A worker looks for such messages every interval x throttle seconds. The
        # defaults (10 x 10) would add up to 100 s to a recovery.
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        # Without timeouts a frozen Redis or a dead network would block for ever.
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 25,
        # A command that timed out may have been executed: it is not repeated here.
        "retry_on_timeout": False,
        # One quick retry to open a channel; the caller decides about further ones.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    }
