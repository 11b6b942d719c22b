"""Pages and servers in a browser: the gate before them, their process, and pages of one person's own."""
