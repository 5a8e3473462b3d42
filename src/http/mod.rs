//! What every HTTP room shares: errors, request id, headers, trusted proxies, who-may extractors, cursors.
