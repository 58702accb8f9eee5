"""The work that an experiment still needs: its stages and runs, and the time they will take."""
