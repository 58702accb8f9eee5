"""The page of an experiment's results: what tools/report.py puts into one HTML file that works from disk.

content.py gathers what it shows, from tables alone; provenance.py what was run, from the runs' manifests; page.html is
the template (Jinja), page.css its looks, chart.js and page.js what moves on it. None of them asks the network for
anything: styles, scripts, pictures and curves are inside the page.
"""
