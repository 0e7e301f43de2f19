"""``python -m everbearer.cli`` is the ``everbearer`` command."""

from everbearer.cli import main

if __name__ == "__main__":
    main()
