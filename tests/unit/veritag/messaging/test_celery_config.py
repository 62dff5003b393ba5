"""The Celery configuration, compared with the options of Celery and kombu."""

from kombu.transport.redis import Channel

from veritag.messaging.celery_config import celery_app, configuration
from veritag.messaging.messages import (
    QUEUE_INSPECTION,
    QUEUE_SETTLING,
    QUEUE_TRAINING,
    TASK_INSPECT,
    TASK_SETTLE,
    TASK_TRAIN,
)
from veritag.settings import Settings

REDIS = Settings(broker_url="redis://127.0.0.1:1/0", visibility_timeout_seconds=77)


def test_every_setting_is_one_that_celery_has() -> None:
    """Celery knows all settings: it would ignore a misspelt one."""
    from celery.app.defaults import NAMESPACES, flatten

    known = {name for name, _ in flatten(NAMESPACES)}
    assert set(configuration(REDIS)) <= known


def test_every_transport_option_is_one_that_kombu_reads() -> None:
    """Kombu knows all transport options: it would ignore a misspelt one."""
    read = {*Channel.from_transport_options, "unacked_restore_interval"}
    read |= {"max_retries", "interval_start", "interval_step", "interval_max"}
    assert set(configuration(REDIS)["broker_transport_options"]) <= read


def test_the_channel_has_our_timeouts() -> None:
    """Redis redelivers after the visibility timeout of the settings."""
    with celery_app(REDIS, "test").connection_for_write() as connection:
        options = connection.transport_options
    assert options["visibility_timeout"] == 77
    assert options["unacked_restore_throttle"] == 1
    assert options["socket_timeout"] > 1


def test_only_json_is_taken() -> None:
    """Publisher and worker accept no pickle."""
    conf = celery_app(REDIS, "test").conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"


def test_each_task_has_its_queue() -> None:
    """Tasks are routed by name, and no queue is created by a misspelt name."""
    app = celery_app(REDIS, "test")
    queues = {
        task: app.amqp.router.route({}, task)["queue"].name
        for task in (TASK_INSPECT, TASK_SETTLE, TASK_TRAIN)
    }
    assert queues == {
        TASK_INSPECT: QUEUE_INSPECTION,
        TASK_SETTLE: QUEUE_SETTLING,
        TASK_TRAIN: QUEUE_TRAINING,
    }
    assert set(app.amqp.queues) == set(queues.values())


def test_rabbitmq_gets_no_option_of_redis() -> None:
    """RabbitMQ gets publisher confirms and no options of Redis."""
    amqp = Settings(broker_url="amqp://127.0.0.1:1//")
    options = configuration(amqp)["broker_transport_options"]
    assert options["confirm_publish"] is True
    assert "visibility_timeout" not in options
