"""C-STORE handled where its bytes arrive; rests on internals of pynetdicom."""
