"""The `operations` section of params.yaml: deployments, triggers, notifications, drift, prices.

None of it changes a result, so no stage depends on it. Secrets are named, never written: `url_env` and
`password_env` are names of environment variables.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.core.params import Params
from components.gates.drift_params import DriftParams

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
Happening = Literal[
    "failure", "gate", "promotion", "waiting", "rollback", "drift", "crash", "cancelled", "missed"
]


class FilesTrigger(Params):
    """Files that came, went or changed below a folder, once nothing has changed between two looks."""

    kind: Literal["files"]
    path: str = Field("data/raw", description="folder, relative to the workspace")
    pattern: str = Field("**/*", description="which files below it count")


class S3Trigger(Params):
    """Objects that came or changed below an S3 prefix; credentials are boto3's (environment, role)."""

    kind: Literal["s3"]
    url: str = Field(description="s3://bucket/prefix")
    endpoint: str | None = Field(None, description="endpoint of another S3 service; null: AWS_ENDPOINT_URL")
    into: str | None = Field(None, description="folder below data/raw that new objects are fetched into")

    @field_validator("url")
    @classmethod
    def _s3(cls, value: str) -> str:
        if not re.fullmatch(r"s3://[^/]+(/.*)?", value):
            raise ValueError("must be s3://bucket/prefix")
        return value


class RevisionTrigger(Params):
    """data.dvc names another data revision (someone pulled, or ran `dvc add`)."""

    kind: Literal["revision"]


class DriftTrigger(Params):
    """The last drift check found that new data differ from the champion's training data."""

    kind: Literal["drift"]


class RequestTrigger(Params):
    """Somebody asked for training: `syncdreamer forget` withdrew clips (state/requests)."""

    kind: Literal["request"]


Trigger = Annotated[
    FilesTrigger | S3Trigger | RevisionTrigger | DriftTrigger | RequestTrigger, Field(discriminator="kind")
]


class Deployment(Params):
    """One thing that is run by itself: what, when, with which parameters."""

    name: str = Field(description="lower case letters, digits, dashes")
    job: Literal["chain", "drift"] = Field("chain", description="the whole chain, or the drift check")
    cron: str | None = Field(None, description="five-field cron line")
    timezone: str = Field("UTC", description="the cron line's time zone, by its IANA name")
    interval_seconds: float | None = Field(None, gt=0, description="time between starts, instead of cron")
    triggers: tuple[Trigger, ...] = Field((), description="events that start a run, besides the schedule")
    until: str = Field("", description="stop the chain after this stage")
    force: bool = Field(False, description="register, promote and report even when nothing changed")
    changes: dict[str, Any] = Field({}, description="parameters of its runs, e.g. train_stage2.steps: 800")
    catch_up: bool = Field(True, description="run once after a time in which runs were missed")
    paused: bool = Field(False, description="created paused; later the server's own switch counts")

    @field_validator("name")
    @classmethod
    def _simple(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("lower case letters, digits and dashes only")
        return value

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.cron and self.interval_seconds:
            raise ValueError(f"deployment {self.name}: cron and interval_seconds exclude each other")
        if not (self.cron or self.interval_seconds or self.triggers):
            raise ValueError(f"deployment {self.name}: needs cron, interval_seconds or triggers")
        if self.cron:
            from cronsim import CronSim, CronSimError

            try:
                CronSim(self.cron, datetime(2000, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                raise ValueError(f"deployment {self.name}: cron {self.cron!r}: {error}") from error
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"deployment {self.name}: no time zone {self.timezone!r}") from error
        if self.job == "drift" and (self.until or self.force):
            raise ValueError(f"deployment {self.name}: until and force belong to the chain")
        return self


class Channel(Params):
    """A way out for notifications. Everything is in state/operations/events.jsonl in any case."""

    name: str = Field("", description="how it is called in messages; the kind if empty")
    kind: Literal["webhook", "email", "block"]
    events: tuple[Happening, ...] = Field(
        ("failure", "gate", "crash", "promotion", "waiting", "rollback", "drift"),
        description="what it is told",
    )
    url: str | None = Field(None, description="webhook: where to POST the event as JSON")
    url_env: str | None = Field(
        None, description="webhook: variable that holds the address (if it is secret)"
    )
    secret_env: str | None = Field(None, description="webhook: variable with the key of the HMAC signature")
    block: str | None = Field(None, description="block: a saved Prefect notification block, type/name")
    host: str | None = Field(None, description="email: SMTP server")
    port: int = Field(587, gt=0, lt=65536, description="email: its port")
    starttls: bool = Field(True, description="email: encrypt; false only for a relay on this machine")
    sender: str | None = Field(None, description="email: From")
    to: tuple[str, ...] = Field((), description="email: recipients")
    user: str | None = Field(None, description="email: login")
    password_env: str | None = Field(None, description="email: variable that holds the password")

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.name or self.kind

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "webhook" and bool(self.url) == bool(self.url_env):
            raise ValueError("a webhook needs url or url_env")
        if self.kind == "webhook" and self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("a webhook's url begins with http:// or https://")
        if self.kind == "block" and (self.block or "").count("/") != 1:
            raise ValueError("a block channel needs block: type/name, e.g. slack-webhook/team")
        if self.kind == "email" and not (self.host and self.sender and self.to):
            raise ValueError("an email channel needs host, sender and to")
        return self


class Prices(Params):
    """What computing costs; 0 leaves it out."""

    currency: str = Field("EUR", description="unit of the prices below")
    cpu_hour: float = Field(0.0, ge=0, description="an hour of one busy core")
    gpu_hour: float = Field(
        0.0, ge=0, description="an hour of one accelerator, from a stage's start to its end"
    )
    gigabyte_hour: float = Field(0.0, ge=0, description="an hour of a gigabyte at a stage's peak memory")


class OperationsParams(Params):
    """What `syncdreamer serve` does."""

    poll_seconds: float = Field(10.0, gt=0, description="time between looks at triggers and due runs")
    wait_minutes: float = Field(
        720.0, ge=0, description="how long a scheduled run waits for another run in this repository"
    )
    resume_limit: int = Field(2, ge=0, description="how often a run that was killed is taken up again")
    deployments: tuple[Deployment, ...] = Field(
        (
            Deployment(name="nightly", cron="0 2 * * *"),
            Deployment(
                name="new-data",
                triggers=(
                    FilesTrigger(kind="files"),
                    RevisionTrigger(kind="revision"),
                    DriftTrigger(kind="drift"),
                    RequestTrigger(kind="request"),
                ),
            ),
            Deployment(name="drift", job="drift", cron="0 1 * * *"),
        ),
        description="what runs when",
    )
    notifications: tuple[Channel, ...] = Field((), description="who is told, besides the log")
    drift: DriftParams = Field(DriftParams(), description="new data against the champion's training data")
    prices: Prices = Field(Prices(), description="cost of a stage")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [deployment.name for deployment in self.deployments]
        labels = [channel.label for channel in self.notifications]
        for kind, words in (("deployments", names), ("notifications", labels)):
            double = sorted({word for word in words if words.count(word) > 1})
            if double:
                raise ValueError(f"{kind}: {double[0]!r} is used twice; give each its own name")
        return self
