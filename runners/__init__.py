"""Who carries out a search: this process, processes of this machine, Ray; and the command line."""
