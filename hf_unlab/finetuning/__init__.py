"""Few labels: fine-tuning a checkpoint as one more candidate of the proof table."""
