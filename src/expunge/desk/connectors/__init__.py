"""What the desk can search and purge: one connector per kind of place. A file here, or a plug-in, adds one.

A package of your own names the entry-point group `expunge.desk.connectors`, one entry per connector.
"""
