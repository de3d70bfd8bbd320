"""DynamoNet (Diba et al., ICCV 2019) and the harness that reproduces it beside its baselines."""

__version__ = "0.1.0"
