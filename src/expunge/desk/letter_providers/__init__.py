"""Who takes the letters of a desk: one file each.

A package of your own names the entry-point group `expunge.desk.letter_providers`, one entry per provider.
"""
