"""What a C compiler made at installation, for CPUs: the dictionary's selection and the attention over it.

``kernels.c`` has the doors, ``window.h`` the work; ``library`` finds and calls them, and says when they are not there.
"""
