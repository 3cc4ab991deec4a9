"""Attacks and measures of the audit: one file each, registered in `audit.context.ATTACKS`."""
