"""One module per command, in folders by subject, loaded when it is asked for (see `root.SECTIONS`); each has its click
command as `command`."""
