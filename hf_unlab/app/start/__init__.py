"""`hf-unlab start`: from a folder or a file of one's own to a recipe's settings, and to a run."""
