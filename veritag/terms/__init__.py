"""Meaning of tag values: concepts, their hierarchy, their spellings."""
