"""Parts of every training process: device, progress, publishing of folders."""
