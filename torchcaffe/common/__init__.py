"""Modules that every part of torchcaffe uses: blobs, the device, the log, signals, files."""
