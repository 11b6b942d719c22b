"""`python -m mocoop` runs the command line `mocoop`."""

from mocoop.commands import main

if __name__ == "__main__":
    main()
