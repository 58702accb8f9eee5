"""The sources of images (LMDBs, lists of files) and their transformation: crop, mirror, mean, scale."""
