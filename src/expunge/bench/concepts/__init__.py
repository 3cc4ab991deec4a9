"""The laboratory for concept suites: worlds with a target on L4, models that know it, models that never did, and runs
in between. A suite says what is compared; `lab.py` makes and keeps it, `measure.py` says what is read off."""
