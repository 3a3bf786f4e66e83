"""The JSON Schema of the config, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from transload.config.kinds import REMOTES, STEPS
from transload.config.route import Route
from transload.config.server import Servers, User
from transload.config.settings import QuarantineSettings, Settings
from transload.notify import Target


def schema() -> dict[str, Any]:
    """The JSON Schema of the whole file, with every kind of remote and step that is installed."""
    remotes, steps = ([kinds.find(name) for name in kinds.names()] for kinds in (REMOTES, STEPS))
    models: list[type[BaseModel]] = [Settings, QuarantineSettings, Servers, User, Target, Route, *remotes, *steps]
    places, whole = models_json_schema([(model, "validation") for model in models], by_alias=True)
    refs = [places[model, "validation"] for model in remotes]
    definitions = whole["$defs"]
    definitions["Route"]["properties"]["steps"]["items"] = {"oneOf": [places[model, "validation"] for model in steps]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "transload.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "transload": places[Settings, "validation"],
            "quarantine": places[QuarantineSettings, "validation"],
            "remotes": {"type": "object", "additionalProperties": {"oneOf": refs}},
            "servers": places[Servers, "validation"],
            "users": {"type": "object", "additionalProperties": places[User, "validation"]},
            "notify": {"type": "object", "additionalProperties": places[Target, "validation"]},
            "routes": {"type": "array", "items": places[Route, "validation"]},
        },
        "$defs": definitions,
    }
