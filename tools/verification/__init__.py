"""What a finished sweep stands on, looked at again: files and their checksums, stages and their inputs, copied layers.

The verb `verify` walks it. Nothing here changes a result.
"""
