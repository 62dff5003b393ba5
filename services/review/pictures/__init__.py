"""Pictures for the pages: thumbnails of instances, exemplars of clusters."""
