"""The audit: score pass, metrics, attacks, statistics, verdict; always against a model that never knew."""
