"""The one Celery configuration, used by whoever publishes and by the worker.

`docs/queue.md` tells the same for operators. The records are the truth and the queue
only a hint (see `worker`'s sweeper): whatever is lost here is published again, so every
choice below prefers speed of recovery over guarantees that Redis cannot give.
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

# A stopped, frozen (SIGSTOP) or unreachable broker costs a publisher this long.
CONNECT_SECONDS = 2.0
# Longer than kombu's one-second BRPOP, or an idle worker would reconnect for ever.
ANSWER_SECONDS = 5.0

# Gossip, mingle and heartbeats are talk among workers that nobody here listens to;
# without them an idle worker leaves the broker alone. Given to `celery worker`.
WORKER_FLAGS = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def celery_app(settings: Settings, name: str) -> Celery:
    """Return a Celery application with our configuration.

    Parameters
    ----------
    name
        Of the process, shown in Celery's own log lines.
    """
    # No fixups: nothing here runs inside Django, so nothing has to look for it.
    app = Celery(name, set_as_current=False, fixups=[])
    app.conf.update(configuration(settings))
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Return every Celery setting that differs from the default, by theme."""
    url = settings.message_broker_url
    return {
        "broker_url": url,
        "broker_transport_options": _transport_options(url, settings),
        **_MESSAGES,
        **_DELIVERY,
        **_CONNECTION,
        **_WORKER,
        # On SIGTERM the worker stops taking messages and has this long to finish.
        "worker_soft_shutdown_timeout": settings.stop_grace_seconds,
    }


# What a message may be and where it goes.
_MESSAGES: dict[str, Any] = {
    # JSON only: a pickle from the broker would be code from whoever reaches it.
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
    # A misspelt queue is an error, not a queue that nobody reads.
    "task_create_missing_queues": False,
    # Verdicts go to the records; there is no result backend to fill or to wait for.
    "result_backend": None,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "enable_utc": True,
    "timezone": "UTC",
}

# When a message counts as done.
_DELIVERY: dict[str, Any] = {
    # Acknowledge after the work, so that a dead worker's message is delivered again ...
    "task_acks_late": True,
    # ... also when the kernel killed the worker's child. A message that kills every
    # worker would so go round for ever: the attempts in the records put an end to it.
    "task_reject_on_worker_lost": True,
    # A task that raised is done with: the sweeper publishes its instances again.
    "task_acks_on_failure_or_timeout": True,
    # Fetch a message only when a worker is free: a message fetched early waits behind
    # a slow one although another worker is idle, and ages towards redelivery.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # Publishing is retried by who publishes, with its own back-off, not by Celery.
    "task_publish_retry": False,
}

# How long to wait for the broker, and how often to try again.
_CONNECTION: dict[str, Any] = {
    "broker_connection_timeout": CONNECT_SECONDS,
    # A worker waits for its broker for as long as it takes, also at its start.
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    # One for the consumer, one for whatever the worker publishes.
    "broker_pool_limit": 2,
}

# What a worker process does besides working.
_WORKER: dict[str, Any] = {
    # Our own JSON lines stay in charge of the log.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # No events, no remote control: metrics come from the records and from /metrics.
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "worker_enable_remote_control": False,
    # What is being inspected when the connection breaks may be finished: storing a
    # verdict twice changes nothing, inspecting twice costs time.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}


def publisher_options(url: str) -> dict[str, Any]:
    """Return the transport options in which a publisher differs from a worker.

    It never waits in BRPOP, so it need not be patient.
    """
    return {} if url.startswith("amqp") else {"socket_timeout": CONNECT_SECONDS}


def _transport_options(url: str, settings: Settings) -> dict[str, Any]:
    if url.startswith("amqp"):
        # Without confirms RabbitMQ may lose what was published and nobody knows.
        return {"confirm_publish": True, "read_timeout": ANSWER_SECONDS}
    return {
        # Redis has no acknowledgements; kombu keeps what was fetched in a hash and
        # gives back what is older than this. kombu reads it here and nowhere else;
        # publisher and worker must agree, which is why they share this function. It
        # must exceed the longest time that one message can take.
        "visibility_timeout": settings.visibility_timeout_seconds,
        # How often a worker looks for such messages: every interval x throttle
        # seconds. The defaults (10 x 10) would add 100 s to every recovery.
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        # Without these a frozen Redis or a dead network would hang us for ever.
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 25,
        # A command that timed out may have been carried out; nobody repeats it blindly.
        "retry_on_timeout": False,
        # For opening a channel; what lies above decides about more.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    }
