"""Differential privacy: configuration, accountants, empirical bounds. Pure, no training."""
