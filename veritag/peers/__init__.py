"""Other Application Entities: their settings, TLS, and sending to them."""
