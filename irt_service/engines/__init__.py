"""Calibration engines behind one interface (see base)."""
