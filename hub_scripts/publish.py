"""Publish a checkpoint to the Hub, private by default: python hub_scripts/publish.py OUT ME/NAME --licence mit

The same as `hf-unlab publish`; `--help` has all options.
"""

import sys

from hf_unlab.app.cli import app

if __name__ == "__main__":
    app(["publish", *sys.argv[1:]], prog_name="hf-unlab")
