"""Download a published model, load it by its card's lines and compare it: python hub_scripts/verify.py ME/NAME [OUT]

The same as `hf-unlab verify`.
"""

import sys

from hf_unlab.app.cli import app

if __name__ == "__main__":
    app(["verify", *sys.argv[1:]], prog_name="hf-unlab")
