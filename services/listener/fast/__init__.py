"""Fast reception: C-STORE handled in the thread that reads the network.

It depends on internals of pynetdicom, which `pynetdicom_check` verifies at the start.
"""
