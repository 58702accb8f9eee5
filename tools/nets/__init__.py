"""Prototxt templates as messages, and what a condition changes in them."""
