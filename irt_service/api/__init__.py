"""The HTTP service: abilities, calibrations and runs for the exam application."""
