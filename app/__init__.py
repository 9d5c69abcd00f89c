"""From a question to a cited answer, and the faces that show it. May import indexing; never the reverse."""
