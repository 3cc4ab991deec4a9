"""`expunge bench medforget`: forgetting at four levels of a tree of pictures and texts."""
