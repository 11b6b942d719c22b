"""Settings as people write them on a command line: NAME=VALUE, the value in JSON or as a plain word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mocoop.config import Config, preset
from mocoop.errors import ConfigError, UsageError


def settings_by_name(settings: Sequence[str], named: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings from --set and from options of their own (`named`, None where not given). Raises UsageError."""
    changes = {name: value for name, value in (named or {}).items() if value is not None}
    for name in ("views", "top_k"):  # numbers or words
        if name in changes:
            changes[name] = setting_value(changes[name])
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} sets nothing", "write --set NAME=VALUE")
        if name in ("preset", "method"):
            raise UsageError(f"--set {setting} would change the name only", f"write --{name} {text}")
        if name in changes:
            raise UsageError(f"{name} is given twice", "give each setting once")
        changes[name] = setting_value(text)
    return changes


def config_of(preset_name: str, method: str, changes: Mapping[str, Any]) -> Config:
    """A preset with some settings changed. Raises UsageError for settings that cannot be, as they were typed."""
    try:
        return preset(preset_name, method, **changes)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from error


def setting_value(text: str) -> Any:
    """A JSON value, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def setting_text(value: Any) -> str:
    """A value as `setting_value` reads it: words as they are, all else in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
