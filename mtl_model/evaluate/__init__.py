"""From weights to figures: metrics, calibration, charts."""
