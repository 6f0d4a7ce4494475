"""Serve the page: `python app.py --help` lists the options. Hosts of Gradio apps start this file."""

import sys

from mtl_model.ui import main

if __name__ == "__main__":
    sys.exit(main())
