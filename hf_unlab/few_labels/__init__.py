"""What a handful of labels is worth after pretraining: draws, methods, tables."""
