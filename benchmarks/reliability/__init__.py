"""Programs that damage what expunge writes, and count what is noticed."""
