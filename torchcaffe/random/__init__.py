"""Caffe's random numbers: generators, normal draws, fillers."""
