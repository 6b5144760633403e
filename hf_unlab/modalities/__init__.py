"""What is particular to each kind of data: a package each, with the same file names in all."""
