"""Where things come from: the BibTeX entries of everything that an experiment uses."""
