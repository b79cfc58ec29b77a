"""Item response theory for the exam application: calibration, linking, scoring."""
