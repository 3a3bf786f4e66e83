"""How much a user may do: bytes, files, rates, sessions, from where and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from transload.accounts.addresses import network, within
from transload.units import ByteSize, Rate

Protocol = Literal["ftp", "ftps", "sftp"]


class Limits(BaseModel):
    """A user's limits; what is not said is not limited."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    quota: ByteSize | None = Field(None, ge=0, description="Bytes that may lie in the home.")
    quota_files: int | None = Field(None, ge=0, description="Files that may lie in the home.")
    upload_rate: Rate | None = Field(None, gt=0, description="Bytes a second, over all the user's sessions.")
    download_rate: Rate | None = Field(None, gt=0, description="Bytes a second, over all the user's sessions.")
    connection_upload_rate: Rate | None = Field(None, gt=0, description="Bytes a second, per session.")
    connection_download_rate: Rate | None = Field(None, gt=0, description="Bytes a second, per session.")
    sessions: int | None = Field(None, ge=1, description="Sessions at once.")
    protocols: tuple[Protocol, ...] = Field(("ftp", "ftps", "sftp"), description="By which protocols; ftp is the one in clear.")
    addresses: tuple[str, ...] = Field((), description="From which networks; anywhere by default.")
    hours: str | None = Field(None, pattern=r"^\d\d:\d\d-\d\d:\d\d$", description="When, in UTC: 08:00-18:00.")
    expires: datetime | None = Field(None, description="Until when.")
    match: tuple[str, ...] = Field((), description="Which names may be uploaded: globs, or regexes that start with (?.")
    min_size: ByteSize | None = Field(None, ge=0, description="Smaller uploads are refused.")
    max_size: ByteSize | None = Field(None, ge=0, description="Larger uploads are refused.")

    @field_validator("addresses")
    @classmethod
    def _networks(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for one in addresses:
            try:
                network(one)
            except ValueError:
                raise ValueError("wants addresses or networks such as 10.0.0.0/8") from None
        return addresses

    @field_validator("hours")
    @classmethod
    def _times(cls, hours: str | None) -> str | None:
        for one in hours.split("-") if hours else ():
            if not ("00" <= one[:2] <= "23" and "00" <= one[3:] <= "59") and one != "24:00":
                raise ValueError("wants two times such as 08:00-18:00")
        return hours

    @field_validator("expires")
    @classmethod
    def _in_utc(cls, expires: datetime | None) -> datetime | None:
        if expires is None:
            return None
        return expires.replace(tzinfo=UTC) if expires.tzinfo is None else expires.astimezone(UTC)

    def admits(self, protocol: str, address: str, at: datetime) -> str:
        """Why a login by `protocol` from `address` at the time `at` (UTC) is not allowed, or nothing."""
        if protocol not in self.protocols:
            return f"it may not come by {protocol}"
        if self.addresses and not within(address, self.addresses):
            return f"it may not come from {address}"
        if self.expires is not None and at >= self.expires:
            return f"it has expired at {self.expires:%Y-%m-%d %H:%M} UTC"
        if self.hours is not None and not _within(self.hours, at):
            return f"it may come at {self.hours} UTC only"
        return ""


def _within(hours: str, at: datetime) -> bool:
    begin, _, end = hours.partition("-")
    now = f"{at:%H:%M}"
    return begin <= now < end if begin <= end else now >= begin or now < end
