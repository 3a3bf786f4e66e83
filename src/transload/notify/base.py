"""A target: who is told, of which events, and by which way."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from transload.notice import EVENTS, Event, Notice
from transload.notify import apprise, command, webhook
from transload.notify.texts import TEXT, TITLE, Message, template_fault
from transload.secret import Secret
from transload.units import Duration


class Target(BaseModel):
    """Who is told of quarantined, failed and late files: an Apprise URL, a webhook, or a command.

    A target that fails never stops a file: what it was to be told waits in the ledger.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Secret | None = Field(None, description="An Apprise URL: Slack, Teams, mail and a hundred others; by reference.")
    webhook: Secret | str | None = Field(
        None, union_mode="left_to_right", description="An https address that gets messages as JSON by POST; by reference if it is secret."
    )
    secret: Secret | None = Field(None, description="Signs what a webhook gets: HMAC-SHA256 over timestamp and body.")
    command: tuple[str, ...] | None = Field(
        None, min_length=1, description="A program and its arguments; a message comes as JSON on stdin, exit code 0 says that it was taken."
    )
    timeout: Duration = Field(30.0, gt=0, description="How long sending one message may take.")
    on: tuple[Event, ...] = Field(EVENTS, min_length=1, description="The events that it is told of; all by default.")
    group: Duration = Field(60.0, description="Notices of one route and event within this time become one message.")
    rate: int = Field(20, ge=1, le=3600, description="The most messages an hour; what is over waits and is summed up.")
    title: str = Field(TITLE, min_length=1, description="The title of a message; {event} {route} {count} {file} {reason} {source} {time}.")
    text: str = Field(TEXT, min_length=1, description="A message's line for each notice, ten at most; the same fields.")

    @field_validator("webhook", mode="before")
    @classmethod
    def _an_address(cls, address: object) -> object:
        if not isinstance(address, str):
            return Secret.model_validate(address) if isinstance(address, dict) else address
        fault = webhook.address_fault(address)
        if fault:
            raise ValueError(fault)
        return address

    @field_validator("command")
    @classmethod
    def _found_beside_the_config(cls, command: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        folder = (info.context or {}).get("folder")
        return (str(Path(folder, command[0])), *command[1:]) if command and folder and "/" in command[0] else command

    @field_validator("title", "text")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        fault = template_fault(template)
        if fault:
            raise ValueError(fault)
        return template

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        if sum(way is not None for way in (self.url, self.webhook, self.command)) != 1:
            raise ValueError("wants exactly one of url, webhook, command")
        if self.secret is not None and self.webhook is None:
            raise ValueError("has a secret but no webhook to sign for")
        return self

    def wants(self, notice: Notice) -> bool:
        """Whether it is to be told of this."""
        return notice.event in self.on

    def send(self, message: Message) -> None:
        """Send it once; returns when it has arrived.

        Raises Transient when it did not arrive, or nobody can tell, Permanent when sending it again cannot help, and
        ConfigError when the operator must edit something. None of them holds a secret.
        """
        if self.url is not None:
            apprise.send(self.url, message, self.timeout)
        elif self.command is not None:
            command.send(self.command, message, self.timeout)
        elif self.webhook is not None:
            webhook.send(self.webhook, self.secret, message, self.timeout)

    def try_url(self) -> None:
        """Whether Apprise can use the URL, without sending anything; ConfigError says what is wrong."""
        if self.url is not None:
            apprise.service(self.url)

    def where(self) -> str:
        """This target as logs and pages show it; never with a secret."""
        if self.command is not None:
            return f"command {self.command[0]}"
        if self.url is not None:
            return "an Apprise URL"
        return f"webhook {urlsplit(self.webhook).hostname}" if isinstance(self.webhook, str) else "a webhook"
