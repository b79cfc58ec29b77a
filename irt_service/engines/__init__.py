"""Calibration engines behind one interface (see base)."""

from __future__ import annotations

from irt_service.engines.base import Engine
from irt_service.engines.mirt import MirtEngine
from irt_service.engines.native import NativeEngine
from irt_service.errors import InvalidSettingsError

__all__ = ["engine_named"]


def engine_named(name: str) -> Engine:
    """The engine of that name.

    Raises:
        InvalidSettingsError: there is none.
    """
    engines: tuple[Engine, ...] = (NativeEngine(), MirtEngine())
    for engine in engines:
        if engine.name == name:
            return engine
    known = " or ".join(engine.name for engine in engines)
    raise InvalidSettingsError("unknown engine", name, f"use {known}")
