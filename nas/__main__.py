"""`python -m nas` is the command `nas`."""

from nas.front import main

if __name__ == "__main__":
    main()
