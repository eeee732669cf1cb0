"""`python -m audit` is `faceaudit`."""

from audit.cli import main

raise SystemExit(main())
