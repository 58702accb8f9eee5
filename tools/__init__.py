"""The pipeline: images in, accuracy curves out. One module a verb; `python -m tools` lists them.

fetch -> split -> pack -> mean -> render -> train -> parse -> summarize -> plot
"""
