"""Our stream beside LitData, mosaicml streaming and plain WebDataset: restarts and damage, by one command.

``measure`` leads; ``environments`` installs the peers; ``consumer`` and the ``…_peer`` modules run inside their
environments and import that peer, what it is built on and the standard library alone; they answer with lines of JSON.
"""
