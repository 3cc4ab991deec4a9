"""Metrics by file: per-record metrics register in METRICS; published aggregates are plain functions."""

from expunge.audit.metrics.base import METRICS, Metric, Records, join, metric

__all__ = ["METRICS", "Metric", "Records", "join", "metric"]
