"""When training starts, what it may use, and when its bundle is promoted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from veritag.settings.field_types import Crontab, Section, Share


class TrainingSettings(Section):
    """When training starts, what it may use, and when its bundle is promoted."""

    title: ClassVar[str] = "Scheduled training"

    train_schedule: Crontab = Field(
        "0 2 * * 0",
        # pydantic-settings validates defaults: every process would load Celery for this.
        validate_default=False,
        description="Schedule of training as minute, hour, day of the month, month "
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
        description="Recent verdicts below which neither of the two is computed.",
    )
    train_clusters: int = Field(
        0,
        ge=0,
        le=4096,
        description="Clusters of scheduled training; 0: as many as the bundle in use has.",
    )
    train_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where scheduled training runs: auto, cpu or cuda."
    )
    train_pictures: bool = Field(
        True,
        description="Whether bundles of scheduled training hold example images of their "
        "clusters for reviewers; the images are of patients of the archive.",
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
        description="Maximum number of images in the reference set of the gate.",
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
        description="Share of the reference images whose flag a new bundle may change, set "
        "or clear, and still be promoted automatically.",
    )
