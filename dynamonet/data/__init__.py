"""Data sets: official lists, manifests, exact decoding, clip sampling and the embedded motion set."""
