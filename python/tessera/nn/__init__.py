"""Modules for MLX's neural networks, on Tessera's attention."""
