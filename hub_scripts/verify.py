"""Download a published model, load it by its card's lines and compare it: python hub_scripts/verify.py ME/NAME [OUT]

The same as `hf-unlab verify`.
"""

import typer

from hf_unlab.app.publishing import verify_command

if __name__ == "__main__":
    typer.run(verify_command)
