"""Pairs of images and captions."""
