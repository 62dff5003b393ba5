"""The Celery application of a worker, its tasks bound to the parts of the process."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import Celery, Task

from veritag.errors import RejectError, RetryableError, describe_error
from veritag.messaging.celery_config import celery_app
from veritag.messaging.consumer import StrictRequest
from veritag.messaging.messages import TASK_INSPECT, TASK_SETTLE
from veritag.process.logs import get_logger
from veritag.settings import Settings
from worker import tasks
from worker.context import Context

log = get_logger()

Act = Callable[[Context, Mapping[str, Any]], None]


class ObservedTask(Task):
    """A task that logs its id with every line, and how its message ended.

    Every message is acknowledged, failed or not: the records hold what is left to do,
    and the scheduler publishes it again.
    """

    abstract = True
    Request = StrictRequest
    act: Act
    context: Context

    def run(self, payload: Mapping[str, Any]) -> None:
        """Carry out one message."""
        with structlog.contextvars.bound_contextvars(task_id=self.request.id):
            try:
                self.act(self.context, payload)
            except RetryableError as error:
                log.warning("message_postponed", task=self.name, reason=str(error))
            except RejectError as error:
                log.warning("message_rejected", task=self.name, reason=str(error))
            except Exception as error:  # noqa: BLE001
                # No message ends the worker. No traceback: it may quote a Data Set.
                log.error(  # noqa: TRY400
                    "message_failed", task=self.name, reason=describe_error(error)
                )


def build_app(settings: Settings, context: Context) -> Celery:
    """Return the application with both tasks bound to the parts of the process."""
    app = celery_app(settings, "veritag.worker")
    for name, act in (
        (TASK_INSPECT, tasks.inspect_instances),
        (TASK_SETTLE, tasks.settle_series),
    ):
        body = {"name": name, "act": staticmethod(act), "context": context}
        app.register_task(type("_Task", (ObservedTask,), body)())
    return app
