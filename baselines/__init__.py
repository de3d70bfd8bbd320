"""One file per baseline model: `CARD` and `build(num_classes, clip, ...)`. See docs/adding-a-baseline.md."""
