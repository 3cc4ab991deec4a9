"""Which command carries out a kind of plan. A plug-in adds kinds such as `suppress` or `drop`.

A package of your own names the entry-point group `expunge.desk.executors`, one entry per kind of plan.
"""
