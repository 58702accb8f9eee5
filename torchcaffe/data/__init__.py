"""Where images come from: LMDBs, lists, mean and crop."""
