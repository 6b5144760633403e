"""Losses: pure functions of tensors, no model, no I/O."""
