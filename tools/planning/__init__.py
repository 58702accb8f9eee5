"""What an experiment still needs: its stages and runs, and how long they will take."""
