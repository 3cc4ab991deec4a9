"""Metrics: one file per measure or family. Per-record measures register in METRICS, the rest is sums."""

from expunge.audit.metrics.base import METRICS, Metric, Records, join, metric

__all__ = ["METRICS", "Metric", "Records", "join", "metric"]
