"""The commands of the command line, by what they are for. Heavy modules are imported inside those that need them."""
