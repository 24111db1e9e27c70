"""What is an incident, which moves are legal, and what happened when? Values only."""
