"""Metrics, the evaluation of generated clips beside ground truth and controls, and the report."""
