"""Nets: parsed and upgraded prototxts, layers joined by blobs, parameters."""
