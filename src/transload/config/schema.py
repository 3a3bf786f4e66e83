"""The JSON Schema of the config, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from transload.config.kinds import kind, names
from transload.config.route import Route
from transload.config.server import Servers, User
from transload.config.settings import Settings


def schema() -> dict[str, Any]:
    """The JSON Schema of the whole file, with every kind of remote that is installed."""
    kinds = {name: kind(name) for name in names()}
    models: list[type[BaseModel]] = [Settings, Servers, User, Route, *kinds.values()]
    places, whole = models_json_schema([(model, "validation") for model in models], by_alias=True)
    refs = {name: places[model, "validation"] for name, model in kinds.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "transload.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "transload": places[Settings, "validation"],
            "remotes": {"type": "object", "additionalProperties": {"oneOf": list(refs.values())}},
            "servers": places[Servers, "validation"],
            "users": {"type": "object", "additionalProperties": places[User, "validation"]},
            "routes": {"type": "array", "items": places[Route, "validation"]},
        },
        "$defs": whole["$defs"],
    }
