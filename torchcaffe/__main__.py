import sys

from torchcaffe.cli import main

sys.exit(main())
