"""Where images come from: LMDBs and lists of files; and what is done to them: crop, mirror, mean, scale."""
