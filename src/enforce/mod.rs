//! The pipeline every enforcement point shares, the tower layer, the proxy dialects.
