"""The network of the paper, and the contract that it shares with the baselines.

Importing this package does not import torch, so that a study can be expanded and validated in
milliseconds; the network itself is imported when a model is built.
"""
