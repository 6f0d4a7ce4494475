"""What guards and serves the page: options, log-in, gate, limits on requests, retention."""
