"""Evidence that others can check: certificates, receipts, a Merkle log, signed models, letters. Imports no torch."""
