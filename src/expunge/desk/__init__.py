"""The erasure desk: a person's request, who decides on it, what was done, and by when. It drives engine and audit."""
