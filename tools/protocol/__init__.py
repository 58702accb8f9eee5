"""What is studied: the experiment, its conditions, its runs, and where everything lies on disk."""
