"""The page of an experiment's results: tools/report.py writes it as one HTML file that works from disk.

content.py collects the data from the tables, provenance.py from the manifests of the runs. template.py renders
page.html (Jinja) with its styles (page.css) and scripts (chart.js, page.js). Styles, scripts, pictures and curves are
all inside the page, so it loads nothing from the network.
"""
