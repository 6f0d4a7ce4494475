"""python -m mtl_model"""

import sys

from mtl_model.cli import main

if __name__ == "__main__":  # a spawned worker process imports this file again
    sys.exit(main())
