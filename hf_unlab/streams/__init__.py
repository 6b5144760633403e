"""Raw data as exactly resumable streams; they know neither what an example is nor what it is learnt by."""
