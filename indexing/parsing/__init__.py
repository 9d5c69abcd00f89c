"""Readers of files: bytes in, blocks out. They run only in the child process (``child.py``), never in the service.

``detect`` names the format, ``formats`` knows which module reads it, and each reader is one function
``read(job) -> Parsed``. ``confine`` takes away from the process what a reader has no need of.
"""
