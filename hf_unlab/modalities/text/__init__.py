"""Raw text."""
