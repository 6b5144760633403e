"""What people touch: commands, settings, console, doctor."""
