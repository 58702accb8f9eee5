"""Statistics over tables: intervals, summary rows, tests of claims, rank correlation, transferability."""
