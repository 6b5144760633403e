"""Trainers: one file an objective over a base that owns what must be the same everywhere."""
