"""Records of received instances, their series and studies, dispatch and retention."""
