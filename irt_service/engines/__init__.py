"""Calibration engines behind one interface (see base)."""

from __future__ import annotations

from irt_service.engines.base import Engine
from irt_service.engines.native import NativeEngine
from irt_service.errors import InvalidSettingsError

__all__ = ["engine_named"]


def engine_named(name: str) -> Engine:
    """The engine of that name.

    Raises:
        InvalidSettingsError: there is none.
    """
    if name == NativeEngine.name:
        return NativeEngine()
    raise InvalidSettingsError("unknown engine", name, f"use {NativeEngine.name}")
