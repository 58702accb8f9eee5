"""Statistics on tables: intervals, the rows of summary.csv, tests of claims, rank correlation, transferability."""
