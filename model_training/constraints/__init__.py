"""From tags to must-link and cannot-link pairs."""
