"""The commands of a person: one module each, the same behind ``semanir NAME`` and ``python jobs/….py``.

A command is a module with a docstring (what ``--help`` says), ``add_arguments(parser)`` and ``run(options) -> exit
status``, which imports nothing heavy at its top, so that ``--help`` answers at once.
"""
