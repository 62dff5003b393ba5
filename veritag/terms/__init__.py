"""Meaning of tag values: concepts, their hierarchy and their spellings."""
