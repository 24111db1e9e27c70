"""The command line. One file per command, imported only when it is called: `drover --help` stays quick."""
