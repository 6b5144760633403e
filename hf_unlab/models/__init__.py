"""Models behind the objectives: ordinary transformers and open_clip models, and what an objective needs of them."""
