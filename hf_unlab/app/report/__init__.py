"""`report.html`: what a run is, what it is worth, and what to do next, on one page that needs nothing beside it."""
