"""What a group file is: its shape, its rules, its findings, and reading and writing it. No torch here."""
