"""An old package: see `hf_unlab._moved`."""

from hf_unlab._moved import stand_in

stand_in("hf_unlab.trainers")
