"""Representation quality: what a handful of labels is worth after pretraining.

`few_label` is the modality-neutral core (candidates in, table out), `table` writes the result down, `probes` holds the
classical learners, `text` turns texts into features and `overlap` finds test examples that were pretrained on. Another
modality is another file beside `text`.
"""
