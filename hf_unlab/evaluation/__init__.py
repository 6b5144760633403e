"""Embeddings in, measures out; no modality is known here but through the protocol of `hf_unlab.modalities`."""
