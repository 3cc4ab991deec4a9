"""What an audit needs beside the records, made from the records before a run: see `audit_records`."""

from expunge.corpus.prepare.audit_records import AuditRecords, PrepareSettings, with_audit_records
from expunge.corpus.prepare.folder import write_prepared
from expunge.corpus.prepare.identifier_table import IdentifierTable

__all__ = ["AuditRecords", "IdentifierTable", "PrepareSettings", "with_audit_records", "write_prepared"]
