"""Pretrains, trains and evaluates whatever the catalogue builds. Knows no model by name."""
