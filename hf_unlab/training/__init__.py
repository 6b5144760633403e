"""What every objective shares of training; it knows no modality and no objective."""
